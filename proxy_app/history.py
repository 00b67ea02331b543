"""How long loads and answers took, as a basis for estimates (pure). All in seconds."""

from __future__ import annotations

from collections.abc import Mapping

NEWEST_SHARE = 0.2
"""How much the newest duration counts in an average."""


class Durations:
    """A moving average for each model."""

    __slots__ = ("_average",)

    def __init__(self) -> None:
        self._average: dict[str, float] = {}

    def add(self, model: str, seconds: float) -> None:
        old = self._average.get(model)
        self._average[model] = seconds if old is None else old + NEWEST_SHARE * (seconds - old)

    def of(self, model: str) -> float | None:
        """None when there was none yet."""
        return self._average.get(model)

    def keep(self, models: Mapping[str, object]) -> None:
        """Forget models that are gone."""
        self._average = {name: one for name, one in self._average.items() if name in models}

    def start_with(self, known: Mapping[str, float]) -> None:
        """Take over what was learned earlier, where nothing newer is known."""
        self._average = {**known, **self._average}


class History:
    """What the scheduler remembers of all models."""

    __slots__ = ("answers", "loads")

    def __init__(self) -> None:
        self.loads = Durations()
        self.answers = Durations()
