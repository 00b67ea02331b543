"""Requests under way, as pages show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from proxy_app import questions
from proxy_app.errors import NotServing, RequestNotFound
from proxy_app.keys import Caller
from proxy_app.runner import Runner
from proxy_app.serving import SERVING
from ui_app import whose

PHASES: Final[Mapping[str, Promise]] = {
    "waiting": _("Waiting"),
    "working": _("Reading the prompt"),
    "answering": _("Answering"),
}

MOST: Final = 200
"""So many are shown; of more than that nobody reads each."""


@dataclass(frozen=True, slots=True)
class Live:
    """One request under way. Times in seconds."""

    number: int
    model: str
    who: str
    path: str
    phase: str
    began: datetime
    arrived: float
    """On the monotonic clock."""
    pieces: int

    @property
    def label(self) -> str | Promise:
        return PHASES.get(self.phase, self.phase)

    @property
    def state(self) -> str:
        """As pills have it."""
        return {"waiting": "queued", "answering": "ready"}.get(self.phase, "running")

    @property
    def since(self) -> str:
        return self.began.isoformat(timespec="seconds")


def seen_by(caller: Caller) -> list[Live]:
    """The requests that somebody may see, the oldest first; none in a process without engines."""
    try:
        return told(questions.ask("live_requests"), caller)
    except NotServing:
        return []


def told(everything: Sequence[Mapping[str, Any]], caller: Caller) -> list[Live]:
    """Those of `everything`, as `questions` tells of it, that somebody may see."""
    found = [one for one in everything if whose.may_see(caller, one["key_id"], one["person_id"])]
    names = whose.Names({one["key_id"] for one in found}, {one["person_id"] for one in found})
    return [_live(one, names) for one in found]


def _live(one: Mapping[str, Any], names: whose.Names) -> Live:
    return Live(
        number=one["number"],
        model=one["model"],
        who=names.of(one["key_id"], one["person_id"]) or one["client"],
        path=one["path"],
        phase=one["phase"],
        began=datetime.fromtimestamp(one["at"], UTC),
        arrived=one["arrived"],
        pieces=one["pieces"],
    )


def end(caller: Caller, number: int) -> bool:
    """End a request under way; whether it was one's own.

    Raises RequestNotFound for one that ended, or that its caller may not see.
    """

    async def cancel(runner: Runner) -> bool:
        record = SERVING.accounting.records.live.get(number)
        if record is None or not whose.may_see(caller, record.key_id, record.person_id):
            raise RequestNotFound(number)
        if not record.take_back():
            raise RequestNotFound(number)
        return record.is_of(caller.rights)

    return SERVING.call(cancel)
