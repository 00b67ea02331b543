"""What can be seen of a scheduler: who is loaded, who waits, what is due, what is likely."""

from __future__ import annotations

from proxy_app.budget import Bytes
from proxy_app.forecast import Forecast
from proxy_app.history import History
from proxy_app.seats import Claim, Phase, Policy, Seat
from proxy_app.waiting import Waiting


class SchedulerView:
    """The half of a scheduler that changes nothing."""

    _policy: Policy
    _seats: dict[str, Seat]
    _waiting: Waiting
    _claims: list[Claim]
    _history: History

    def next_deadline(self, now: float) -> float | None:
        """When `on_tick` is due next; None when only an event can change anything."""
        deadlines = [seat.expires_at for seat in self._seats.values() if self._can_expire(seat)]
        for claim in self._claims:
            if any(seat.phase is Phase.READY for seat in claim.in_the_way):
                deadlines.append(self._patience_ends(claim))
        if self._claims:
            # Also those of models not in the way yet: settled, one may be the cheaper choice.
            ready = (seat for seat in self._seats.values() if seat.phase is Phase.READY)
            deadlines += (self._settled_at(seat) for seat in ready)
        if self._waiting.priorities_differ:
            targets = self._waiting.targets(self._seats, now)
            deadlines += (target.since + self._policy.max_wait for target in targets)
        return min((at for at in deadlines if at > now), default=None)

    def forecast(self, now: float) -> Forecast:
        """What is likely to happen, for display and for clients who ask when to come back."""
        return Forecast(self._policy, self._seats, self._waiting, self._history, self._claims, now)

    def in_flight(self, model: str) -> int:
        """Requests being served."""
        seat = self._seats.get(model)
        return seat.in_flight if seat else 0

    def queued(self, model: str) -> int:
        """Requests waiting."""
        return self._waiting.count(model)

    def seats(self) -> list[Seat]:
        """For display."""
        return list(self._seats.values())

    def held(self, model: str) -> Bytes:
        """Memory that its engine counts for."""
        seat = self._seats.get(model)
        return seat.need if seat else {}

    def wants(self, model: str) -> bool:
        """Whether the model is loaded, being loaded, or waits to be."""
        return model in self._seats or self._waiting.wants(model)

    def loaded(self) -> tuple[str, ...]:
        """Models with an engine, whatever its phase."""
        return tuple(self._seats)

    def __repr__(self) -> str:
        seats = ", ".join(str(seat) for seat in self._seats.values())
        queues = ", ".join(f"{m} {self._waiting.count(m)}" for m in self._waiting.models())
        return f"<Scheduler loaded: {seats or 'none'} | waiting: {queues or 'none'}>"

    # Times are compared as the sums that `next_deadline` reports. Taking differences instead,
    # rounding can make a tick at a deadline find it not yet due, and no other tick would follow.
    def _patience_ends(self, claim: Claim) -> float:
        return claim.since + self._policy.max_wait

    def _settled_at(self, seat: Seat) -> float:
        return seat.ready_at + self._policy.min_residency

    def _is_settled(self, seat: Seat, now: float) -> bool:
        return seat.phase is Phase.READY and now >= self._settled_at(seat)

    def _can_expire(self, seat: Seat) -> bool:
        return seat.phase is Phase.READY and seat.in_flight == 0 and seat.limits.ttl > 0
