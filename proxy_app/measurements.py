"""What models really took when they were loaded, as long as they are started the same way."""

from __future__ import annotations

from proxy_app.budget import Bytes
from proxy_app.lineup import Launch, Lineup, with_measured


class Measurements:
    """The newest of each model."""

    def __init__(self) -> None:
        self._taken: dict[str, tuple[Launch | None, Bytes]] = {}

    def note(self, model: str, launch: Launch | None, need: Bytes) -> None:
        self._taken[model] = (launch, need)

    def of(self, model: str, launch: Launch | None) -> Bytes | None:
        """What the model took of each device; None when it was never loaded like that."""
        found = self._taken.get(model)
        return found[1] if found and found[0] == launch else None

    def applied(self, lineup: Lineup) -> Lineup:
        """The same line-up with what is known."""
        known = {
            model: need
            for model, served in lineup.models.items()
            if (need := self.of(model, served.launch)) is not None
        }
        return with_measured(lineup, known) if known else lineup
