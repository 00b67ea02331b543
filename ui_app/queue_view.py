"""Who waits for which model, and why, as the Queue page shows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from models_app.within_reach import within_reach
from proxy_app import questions
from proxy_app.errors import NotServing
from proxy_app.keys import Caller
from ui_app import live_requests, whose
from ui_app.live_requests import Live


@dataclass(frozen=True, slots=True)
class Place:
    """One that waits. Times in seconds."""

    position: int
    waited: float
    expected: float | None
    request: Live | None
    """The request, where whoever looks may see it."""
    is_hurried: bool
    """Whether it goes before others by its priority."""


@dataclass(frozen=True, slots=True)
class Line:
    """A model that is loaded or waited for, with all who wait for it."""

    model: str
    state: str
    in_flight: int
    concurrency: int
    queued: int
    queue_length: int
    load_seconds: float | None
    answer_seconds: float | None
    ready_seconds: float | None
    why: tuple[str, ...]
    """What those who wait, wait for."""
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Device:
    """Memory that models share, in bytes."""

    name: str
    budget: int
    held: int


@dataclass(frozen=True, slots=True)
class Whole:
    """Everything at one moment."""

    lines: tuple[Line, ...]
    devices: tuple[Device, ...]
    waiting: int
    max_wait: float

    @property
    def waited_for(self) -> tuple[Line, ...]:
        """The models that somebody waits for."""
        return tuple(line for line in self.lines if line.queued)

    @property
    def at_rest(self) -> tuple[Line, ...]:
        """The loaded models that nobody waits for."""
        return tuple(line for line in self.lines if not line.queued)


def look(caller: Caller) -> Whole | None:
    """The queue as somebody may see it; None in a process without engines."""
    try:
        told = questions.ask("queue")
    except NotServing:
        return None
    waiting = [one for one in live_requests.told(told["live"], caller) if one.phase == "waiting"]
    if not whose.sees_all(caller):
        told["models"] = _within_reach(told["models"], caller)
    lines = [
        _line(one, [request for request in waiting if request.model == one["model"]])
        for one in told["models"]
    ]
    devices = tuple(Device(one["device"], one["budget"], one["held"]) for one in told["memory"])
    lines.sort(key=lambda line: (not line.queued, line.model))
    waiting_count = sum(line.queued for line in lines)
    return Whole(tuple(lines), devices, waiting_count, told["maxWaitSeconds"])


def _within_reach(models: list[dict[str, Any]], caller: Caller) -> list[dict[str, Any]]:
    """The models that somebody may use, with their own requests; of no other a name is left."""
    may_use = within_reach(caller.rights)
    found = [one for one in models if may_use(one["model"])]
    for one in found:
        one["requests"] = [place for place in one["requests"] if place["caller"] == caller.share]
        for name in ("behind", "waitsFor", "evicts"):
            if one["plan"]:
                one["plan"][name] = named(one["plan"][name], may_use)
    return found


def named(models: list[str], may_use: Callable[[str], bool]) -> list[str]:
    """Those within reach by name, and all others as one."""
    within = [model for model in models if may_use(model)]
    return within if len(within) == len(models) else [*within, _("Another model")]


def _line(told: dict[str, Any], requests: list[Live]) -> Line:
    return Line(
        model=told["model"],
        state=told["state"],
        in_flight=told["inFlight"],
        concurrency=told["concurrency"],
        queued=told["queued"],
        queue_length=told["queueLength"],
        load_seconds=told["loadSeconds"],
        answer_seconds=told["answerSeconds"],
        ready_seconds=told["readyInSeconds"],
        why=tuple(_reasons(told, told["plan"])) if told["plan"] else (),
        places=tuple(_places(told["requests"], requests)),
    )


def _places(told: Sequence[dict[str, Any]], requests: list[Live]) -> list[Place]:
    """The places in turn, each with its request: the first to come has waited longest."""
    longest_first = sorted(told, key=lambda place: -place["waitedSeconds"])
    came = sorted(requests, key=lambda request: request.arrived)
    # Something loads that nobody's request asked for, or one has just come: better none than a
    # wrong one.
    pairs = zip(longest_first, came, strict=True) if len(told) == len(came) else ()
    found = {place["position"]: request for place, request in pairs}
    return [
        Place(
            position=place["position"],
            waited=place["waitedSeconds"],
            expected=place["expectedWaitSeconds"],
            request=found.get(place["position"]),
            is_hurried=bool(place["priority"]),
        )
        for place in told
    ]


def _reasons(told: dict[str, Any], plan: dict[str, Any]) -> list[str]:
    """Why nobody is served at once, in sentences."""
    if told["state"] == "ready" and told["inFlight"] >= told["concurrency"]:
        count = told["concurrency"]
        return [
            ngettext(
                "It answers one request at a time, and is at it.",
                "It answers %(count)s requests at a time, and is at it.",
                count,
            )
            % {"count": count}
        ]
    if told["state"] == "starting":
        return [_("It is being loaded.")]
    found = []
    if plan["behind"]:
        found.append(_("%(models)s goes first.") % {"models": ", ".join(plan["behind"])})
    if plan["waitsFor"]:
        found.append(
            _("%(models)s is in the way and finishes its requests first.")
            % {"models": ", ".join(plan["waitsFor"])}
        )
    idle = [model for model in plan["evicts"] if model not in plan["waitsFor"]]
    if idle:
        found.append(_("%(models)s is unloaded to make room.") % {"models": ", ".join(idle)})
    if not plan["fits"]:
        found.append(_("It is larger than the memory for models: it is tried alone."))
    return found or [_("It is about to be loaded.")]
