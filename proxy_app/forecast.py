"""What is likely to happen, from what happened before (pure). All times in seconds.

Estimates take every request to last as long as the model's requests did on average, and every
load as long as its loads did. None stands for what was never seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from proxy_app.history import History
from proxy_app.room import Room
from proxy_app.seats import Claim, Phase, Policy, Seat, Ticket
from proxy_app.waiting import Waiting


@dataclass(frozen=True, slots=True)
class Place:
    """One waiting request."""

    ticket: Ticket
    position: int
    """From 1."""
    waited: float
    expected: float | None
    """Seconds until it is served."""


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What asking for a model would do."""

    model: str
    loaded: bool
    """It is loaded, or being loaded."""
    evicts: tuple[str, ...]
    """Models that would go."""
    waits_for: tuple[str, ...]
    """Those of them that serve requests now, and models that leave anyway."""
    behind: tuple[str, ...]
    """Models that are loaded before it."""
    fits: bool
    """It has its place within the memory budget; otherwise it is tried alone."""
    load_seconds: float | None
    ready_in: float | None
    """Seconds until it is ready."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """A look at the scheduler at one moment; it changes nothing."""

    policy: Policy
    seats: Mapping[str, Seat]
    waiting: Waiting
    history: History
    claims: Sequence[Claim]
    now: float

    def queue(self, model: str) -> list[Place]:
        """Everybody who waits for the model, in turn."""
        ready = self.ready_in(model)
        return [
            Place(
                ticket, number + 1, self.now - ticket.arrived, self._served_in(model, number, ready)
            )
            for number, ticket in enumerate(self.waiting.in_order(model, self.now))
        ]

    def answer_seconds(self, model: str) -> float | None:
        """How long the model's answers take, lately."""
        seat = self.seats.get(model)
        if seat is not None and seat.answers:
            return seat.answering / seat.answers
        return self.history.answers.of(model)

    def next_in_line(self, model: str) -> float | None:
        """How long a request that came now would wait."""
        seat = self.seats.get(model)
        limits = self.policy.models.get(model)
        waiting = self.waiting.count(model)
        free = seat and limits and seat.phase is Phase.READY and seat.in_flight < limits.concurrency
        if free and not waiting:
            return 0.0
        return self._served_in(model, waiting, self.ready_in(model))

    def ready_in(self, model: str) -> float | None:
        """Seconds until the model can serve, if somebody asks for it now."""
        seat = self.seats.get(model)
        load = self.history.loads.of(model)
        if seat is not None and not seat.is_going:
            if seat.phase is Phase.READY:
                return 0.0
            return None if load is None else max(0.0, seat.started_at + load - self.now)
        before = self._starts_in(model)
        return None if load is None or before is None else before + load

    def expires_in(self, model: str) -> float | None:
        """Until the model is unloaded for idleness; None when it is not."""
        seat = self.seats.get(model)
        if seat is None or seat.phase is not Phase.READY or seat.in_flight or not seat.limits.ttl:
            return None
        return max(0.0, seat.expires_at - self.now)

    def load(self, model: str) -> LoadPlan:
        """What loading the model now would mean for the others."""
        seat = self.seats.get(model)
        loaded = seat is not None and not seat.is_going
        behind = () if loaded else self._behind(model)
        room = self._room(behind)
        in_the_way = [] if loaded else room.in_the_way(model)
        going = in_the_way or []
        return LoadPlan(
            model=model,
            loaded=loaded,
            evicts=tuple(sorted(one.model for one in going if not one.is_going)),
            waits_for=tuple(sorted(one.model for one in going if one.is_going or one.in_flight)),
            behind=behind,
            fits=self.fits_alone(model),
            load_seconds=self.history.loads.of(model),
            ready_in=self.ready_in(model),
        )

    def fits_alone(self, model: str) -> bool:
        """Whether the memory budget has room for the model when nothing else is loaded."""
        need, budget = self.policy.models[model].need, self.policy.budget
        return all(size <= budget[device] for device, size in need.items() if device in budget)

    def _room(self, behind: Sequence[str]) -> Room:
        room = Room(self.policy, self.seats, self.history, self.now)
        for claim in self.claims:
            if claim.model in behind:
                room.promise(claim.model, claim.in_the_way)
        return room

    def _behind(self, model: str) -> tuple[str, ...]:
        """Models that wait for their load and come before it."""
        targets = [target.model for target in self.waiting.targets(self.seats, self.now)]
        return tuple(targets[: targets.index(model)] if model in targets else targets)

    def _starts_in(self, model: str) -> float | None:
        """Until those in its way are gone, and those before it had their turn."""
        total = 0.0
        for other in self._behind(model):
            load, answer = self.history.loads.of(other), self.answer_seconds(other)
            total += (load or 0.0) + (answer or 0.0)
        for seat in self._room(()).in_the_way(model) or ():
            answer = self.answer_seconds(seat.model)
            if seat.in_flight and answer is None:
                return None
            total = max(total, (answer or 0.0) if seat.in_flight else 0.0)
        return total

    def _served_in(self, model: str, before: int, ready: float | None) -> float | None:
        """With so many requests before it."""
        limits, answer = self.policy.models.get(model), self.answer_seconds(model)
        if limits is None or ready is None:
            return None
        seat = self.seats.get(model)
        if seat is not None and seat.phase is Phase.READY and not seat.is_going:
            before += 1  # every place is taken: one of them has to become free first
        elif before < limits.concurrency:
            return ready
        if answer is None:
            return None
        return ready + before * answer / limits.concurrency
