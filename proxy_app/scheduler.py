"""Who may run now, who waits, who must go.

The scheduler is told what happened and decides; `Effects` is its only window. It does not
wait, read a clock, log or touch the database: every call carries the time (seconds on any
monotonic clock), and every decision is a call on `Effects`.

After each event the decisions are taken in this order:

1. A model that is leaving and idle is stopped, and so is one that is only being loaded when
   nobody waits for it any more.
2. For each model with waiters (or asked to be loaded) that is not loaded, the one with the
   oldest waiter first:
   a. it waits behind an older one that it cannot share the machine with;
   b. with nobody in its way it is started;
   c. a busy model in its way goes on serving, newer requests included, until it was loaded
      for the minimum residency and the oldest waiter has waited for `max_wait`; from then on
      it serves only what came no later than that waiter. So the oldest request of all always
      moves, however long models take to load.
3. Waiters of ready models are granted, oldest first, up to the model's limit, unless the
   model is leaving or held back (2c).
4. A model in the way of another that is idle now and was loaded for the minimum residency is
   stopped.
5. A ready model that nobody used for its time to live is stopped.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from proxy_app.eviction import Group, exclude_each_other, must_leave
from proxy_app.seats import Claim, Phase, Policy, Refusal, Seat, Ticket


class Effects(Protocol):
    """What the scheduler can cause. The runner implements it.

    None of these may call back into the scheduler before it returns.
    """

    def start(self, model: str) -> None:
        """Begin loading; answer later with `on_ready` or `on_ended`."""

    def stop(self, model: str) -> None:
        """End its engine; answer later with `on_ended`."""

    def grant(self, ticket: Ticket) -> bool:
        """Let the request go ahead. False when whoever asked has left meanwhile."""

    def refuse(self, ticket: Ticket, why: Refusal) -> None:
        """Turn the request away."""


class Scheduler:
    """Decides for all models of one machine."""

    def __init__(self, effects: Effects, policy: Policy) -> None:
        self._effects = effects
        self._policy = policy
        self._seats: dict[str, Seat] = {}
        self._waiting: dict[str, deque[Ticket]] = {}
        self._wished: dict[str, float] = {}
        self._claims: list[Claim] = []
        self._closed = False

    # ---- What happened -------------------------------------------------------------------

    def on_request(self, ticket: Ticket, now: float) -> None:
        """A request arrived. It is granted, refused or made to wait."""
        model = ticket.model
        seat = self._seats.get(model)
        limits = self._policy.models.get(model)
        if self._closed:
            self._effects.refuse(ticket, Refusal.STOPPING)
        elif seat is not None and seat.accepts(ticket):
            self._seat(ticket, seat)
        elif limits is None:
            self._effects.refuse(ticket, Refusal.UNKNOWN_MODEL)
        elif len(self._waiting.get(model, ())) >= limits.queue:
            self._effects.refuse(ticket, Refusal.QUEUE_FULL)
        else:
            self._waiting.setdefault(model, deque()).append(ticket)
            self._decide(now)

    def on_cancel(self, ticket: Ticket, now: float) -> None:
        """A waiting request's client left. One that was granted meanwhile ends with `on_done`."""
        queue = self._waiting.get(ticket.model)
        if queue is None or ticket not in queue:
            return
        queue.remove(ticket)
        if not queue:
            del self._waiting[ticket.model]
        self._decide(now)

    def on_done(self, ticket: Ticket, now: float) -> None:
        """A granted request ended, however it ended."""
        seat, ticket.seat = ticket.seat, None
        if seat is None:
            return
        seat.in_flight -= 1
        seat.last_used = now
        if self._waiting or self._wished or seat.leaving:
            self._decide(now)

    def on_ready(self, model: str, now: float) -> None:
        """The engine can serve."""
        seat = self._seats.get(model)
        if seat is None or seat.phase is not Phase.STARTING:
            return
        seat.phase = Phase.READY
        seat.ready_at = seat.last_used = now
        self._wished.pop(model, None)
        self._decide(now)

    def adopt(self, model: str, now: float) -> bool:
        """An engine of an earlier server that is ready; False when it may not stay.

        It may not beside one that excludes it, nor when its model is not served any more.
        """
        if model not in self._policy.models or model in self._seats or self._closed:
            return False
        group = self._policy.groups.group(model)
        if any(exclude_each_other(group, self._policy.groups.group(one)) for one in self._seats):
            return False
        seat = Seat(model, self._policy.models[model], Phase.READY)
        seat.ready_at = seat.last_used = now
        self._seats[model] = seat
        self._decide(now)
        return True

    def on_ending(self, model: str) -> None:
        """A ready engine ended by itself; `on_ended` follows when nothing of it is left."""
        seat = self._seats.get(model)
        if seat is not None and seat.phase is Phase.READY:
            seat.phase = Phase.STOPPING

    def on_ended(self, model: str, now: float, *, failed: bool = False) -> None:
        """The engine is gone.

        With `failed`, one that never came up is not tried again for those who wait now.
        """
        seat = self._seats.pop(model, None)
        if failed and seat is not None and seat.phase is Phase.STARTING:
            self._wished.pop(model, None)
            self._refuse_waiting(model, Refusal.START_FAILED)
        self._decide(now)

    def on_tick(self, now: float) -> None:
        """Time passed; see `next_deadline`."""
        self._decide(now)

    # ---- What people ask for -------------------------------------------------------------

    def load(self, model: str, now: float) -> None:
        """Load a model without a request for it."""
        if model in self._policy.models:
            seat = self._seats.get(model)
            if seat is None or seat.leaving or seat.phase is not Phase.READY:
                self._wish(model, now)
            self._decide(now)

    def unload(self, model: str, now: float, *, force: bool = False) -> None:
        """Stop a model once its requests are done, or at once."""
        self._wished.pop(model, None)
        seat = self._seats.get(model)
        if seat is not None:
            seat.leaving = True
            if force or seat.phase is Phase.STARTING:
                self._refuse_waiting(model, Refusal.UNLOADED)
                self._stop(seat)
        self._decide(now)

    def configure(self, policy: Policy, now: float, changed: frozenset[str] = frozenset()) -> None:
        """Work from another policy. Models in `changed` restart, vanished ones go."""
        self._policy = policy
        for model, seat in self._seats.items():
            if model in policy.models:
                seat.limits = policy.models[model]
            if model in changed and seat.phase is Phase.READY and not seat.leaving:
                self._wish(model, now)
            seat.leaving = seat.leaving or model in changed or model not in policy.models
        for model in [model for model in self._waiting if model not in policy.models]:
            self._refuse_waiting(model, Refusal.UNKNOWN_MODEL)
        self._wished = {m: at for m, at in self._wished.items() if m in policy.models}
        self._decide(now)

    def close(self) -> None:
        """Refuse everything and end every load from now on; what is in flight may finish."""
        self._closed = True
        self._wished.clear()
        self._claims.clear()
        for model in list(self._waiting):
            self._refuse_waiting(model, Refusal.STOPPING)
        self._stop_unwanted()

    # ---- What can be seen ----------------------------------------------------------------

    def next_deadline(self, now: float) -> float | None:
        """When `on_tick` is due next; None when only an event can change anything."""
        deadlines = [seat.expires_at for seat in self._seats.values() if self._can_expire(seat)]
        for claim in self._claims:
            for seat in claim.in_the_way:
                if seat.phase is Phase.READY:
                    deadlines += (self._patience_ends(claim), self._settled_at(seat))
        return min((at for at in deadlines if at > now), default=None)

    def in_flight(self, model: str) -> int:
        """Requests being served."""
        seat = self._seats.get(model)
        return seat.in_flight if seat else 0

    def queued(self, model: str) -> int:
        """Requests waiting."""
        return len(self._waiting.get(model, ()))

    def wants(self, model: str) -> bool:
        """Whether the model is loaded, being loaded, or waits to be."""
        return model in self._seats or self._wanted(model)

    def loaded(self) -> tuple[str, ...]:
        """Models with an engine, whatever its phase."""
        return tuple(self._seats)

    def __repr__(self) -> str:
        seats = ", ".join(str(seat) for seat in self._seats.values())
        queues = ", ".join(f"{model} {len(queue)}" for model, queue in self._waiting.items())
        return f"<Scheduler loaded: {seats or 'none'} | waiting: {queues or 'none'}>"

    # ---- Deciding ------------------------------------------------------------------------

    def _decide(self, now: float) -> None:
        self._stop_unwanted()
        self._start_free()
        self._hold_back(now)
        self._grant_waiting()
        self._make_room(now)
        self._stop_expired(now)

    def _stop_unwanted(self) -> None:
        for seat in self._seats.values():  # 1
            unwanted = seat.phase is Phase.STARTING and not self._wanted(seat.model)
            if unwanted or (seat.leaving and seat.in_flight == 0):
                self._stop(seat)

    def _start_free(self) -> None:
        self._claims = []
        older: set[Group] = set()
        for model, since in self._targets():  # 2
            group = self._policy.groups.group(model)
            if any(exclude_each_other(group, other) for other in older):
                older.add(group)  # a
            elif in_the_way := self._in_the_way(model):
                older.add(group)
                self._claims.append(Claim(since, in_the_way))
            else:
                self._seats[model] = Seat(model, self._policy.models[model])  # b
                self._effects.start(model)

    def _hold_back(self, now: float) -> None:
        for seat in self._seats.values():
            seat.yields_to = None
        for claim in self._claims:
            if now >= self._patience_ends(claim):
                for seat in claim.in_the_way:
                    if seat.yields_to is None and self._is_settled(seat, now):
                        seat.yields_to = claim.since  # 2c

    def _grant_waiting(self) -> None:
        for model in list(self._waiting):  # 3
            seat = self._seats.get(model)
            queue = self._waiting[model]
            while seat is not None and queue and seat.accepts(queue[0]):
                self._seat(queue.popleft(), seat)
            if not queue:
                del self._waiting[model]

    def _make_room(self, now: float) -> None:
        for claim in self._claims:
            for seat in claim.in_the_way:
                # Whoever may still get in was granted before, so an idle one has served its turn.
                if seat.in_flight == 0 and self._is_settled(seat, now):
                    self._stop(seat)  # 4

    def _stop_expired(self, now: float) -> None:
        for seat in self._seats.values():  # 5
            if self._can_expire(seat) and now >= seat.expires_at:
                self._stop(seat)

    # ---- Helpers -------------------------------------------------------------------------

    def _targets(self) -> list[tuple[str, float]]:
        """Models somebody wants that have no engine, with the time of the oldest wish."""
        since = {model: at for model, at in self._wished.items() if model not in self._seats}
        for model, queue in self._waiting.items():
            if model not in self._seats:
                since[model] = min(queue[0].arrived, since.get(model, queue[0].arrived))
        return sorted(since.items(), key=lambda item: item[1])

    def _in_the_way(self, model: str) -> list[Seat]:
        leave = must_leave(model, self._seats, self._policy.groups)
        return [self._seats[name] for name in leave]

    # Times are compared as the sums that `next_deadline` reports. Taking differences instead,
    # rounding can make a tick at a deadline find it not yet due, and no other tick would follow.
    def _patience_ends(self, claim: Claim) -> float:
        return claim.since + self._policy.max_wait

    def _settled_at(self, seat: Seat) -> float:
        return seat.ready_at + self._policy.min_residency

    def _is_settled(self, seat: Seat, now: float) -> bool:
        return seat.phase is Phase.READY and now >= self._settled_at(seat)

    def _wish(self, model: str, now: float) -> None:
        if not self._closed:
            self._wished.setdefault(model, now)

    def _wanted(self, model: str) -> bool:
        return model in self._waiting or model in self._wished

    def _can_expire(self, seat: Seat) -> bool:
        return seat.phase is Phase.READY and seat.in_flight == 0 and seat.limits.ttl > 0

    def _seat(self, ticket: Ticket, seat: Seat) -> None:
        # Counted only when the waiter took it: one that left never reports back, and the
        # model could then never be stopped.
        ticket.seat = seat
        if self._effects.grant(ticket):
            seat.in_flight += 1
        else:
            ticket.seat = None

    def _stop(self, seat: Seat) -> None:
        if seat.phase is not Phase.STOPPING:
            seat.phase = Phase.STOPPING
            self._effects.stop(seat.model)

    def _refuse_waiting(self, model: str, why: Refusal) -> None:
        for ticket in self._waiting.pop(model, ()):
            self._effects.refuse(ticket, why)
