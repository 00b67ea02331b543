"""What the serving side knows right now, as pages show it; nothing where no engines are run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from proxy_app import questions
from proxy_app.errors import NotServing

Bytes = Mapping[str, int]
"""By device."""

Status = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Needs:
    """What one model takes of each device."""

    planned: Bytes | None = None
    measured: Bytes | None = None

    @property
    def known(self) -> Bytes:
        """What it took when it was loaded, else what is planned; empty for neither."""
        return self.measured or self.planned or {}


@dataclass(frozen=True, slots=True)
class Now:
    """All of it, read at once."""

    statuses: Sequence[Status] = ()
    needs: Mapping[str, Needs] = field(default_factory=dict)
    """By model."""
    devices: Sequence[Mapping[str, Any]] = ()
    """`device`, `budget` and `held` in bytes, as the scheduler counts them."""
    waiting: int = 0
    tokens_lately: int = 0
    """Generated in the last `questions.LATELY_SECONDS`."""
    has_engines: bool = False

    def in_state(self, *states: str) -> list[Status]:
        """The models in one of these states."""
        return [status for status in self.statuses if status["state"] in states]

    def of(self, may_use: Callable[[str], bool]) -> Now:
        """The same of those models that somebody may use."""
        statuses = [status for status in self.statuses if may_use(status["id"])]
        return replace(self, statuses=statuses)


def now() -> Now:
    """What is so right now, whichever process renders the page."""
    try:
        told = questions.ask("overview")
    except NotServing:
        return Now()
    statuses = told["statuses"]
    return Now(
        statuses=statuses,
        needs={model: Needs(*sizes) for model, sizes in told["needs"].items()},
        devices=told["devices"],
        waiting=sum(status["queued"] for status in statuses),
        tokens_lately=told["tokens_lately"],
        has_engines=True,
    )
