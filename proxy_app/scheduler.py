"""Who may run now, who waits, who must go.

The scheduler is told what happened and decides; `Effects` is its only window. It does not
wait, read a clock, log or touch the database: every call carries the time (seconds on any
monotonic clock), and every decision is a call on `Effects`.

After each event the decisions are taken in this order:

1. A model that is leaving and idle is stopped, and so is one that is only being loaded when
   nobody waits for it any more. A pinned model that had to go, or failed a while ago, comes
   back when there is room for it and nobody waits.
2. For each model with waiters (or asked to be loaded) that is not loaded, the one whose turn it
   is first (`waiting.py`):
   a. it waits behind an earlier one that it cannot share the machine with;
   b. with nobody in its way (`room.py`) it is started;
   c. a busy model in its way goes on serving, newer requests included, until it was loaded
      for the minimum residency and the oldest waiter has waited for `max_wait`; from then on
      it serves only what came no later than that waiter, and what it was loaded for. So the
      first of all always moves, however long models take to load.
3. Waiters of ready models are granted, in turn, up to the model's limit, unless the model is
   leaving or held back (2c).
4. A model in the way of another that is idle now and was loaded for the minimum residency is
   stopped. When all in the way are stopping, the next one is announced.
5. A ready model that nobody used for its time to live is stopped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from proxy_app.eviction import Group, exclude_each_other
from proxy_app.history import History
from proxy_app.room import Room
from proxy_app.scheduler_view import SchedulerView
from proxy_app.seats import Claim, Phase, Policy, Refusal, Seat, Ticket
from proxy_app.waiting import Target, Waiting


class Effects(Protocol):
    """What the scheduler can cause. The runner implements it.

    None of these may call back into the scheduler before it returns.
    """

    def start(self, model: str) -> None:
        """Begin loading; answer later with `on_ready` or `on_ended`."""

    def announce(self, model: str) -> None:
        """It will be started when those that are stopping now are gone."""

    def stop(self, model: str) -> None:
        """End its engine; answer later with `on_ended`."""

    def grant(self, ticket: Ticket) -> bool:
        """Let the request go ahead. False when whoever asked has left meanwhile."""

    def refuse(self, ticket: Ticket, why: Refusal) -> None:
        """Turn the request away."""


class Scheduler(SchedulerView):
    """Decides for all models of one machine."""

    def __init__(self, effects: Effects, policy: Policy) -> None:
        self._effects = effects
        self._policy = policy
        self._seats: dict[str, Seat] = {}
        self._waiting = Waiting(policy.max_wait, policy.models)
        self._claims: list[Claim] = []
        self._unmet = False
        """Whether a model is waited for that is not loaded."""
        self._announced: set[str] = set()
        self._displaced: set[str] = set()
        """Pinned models that had to go for others, or whose engines failed."""
        self._returning: set[str] = set()
        """Those of them that are being loaded again, for nobody in particular."""
        self._history = History()
        self._closed = False

    # ---- What happened -------------------------------------------------------------------

    def on_request(self, ticket: Ticket, now: float) -> None:
        """A request arrived. It is granted, refused or made to wait."""
        if self._closed:
            self._effects.refuse(ticket, Refusal.STOPPING)
        elif not self.seat(ticket, now):
            self._queue(ticket, now)

    def seat(self, ticket: Ticket, now: float) -> bool:
        """Grant a request that arrived, if nothing has to be decided for it."""
        seat = self._seats.get(ticket.model)
        if self._closed or seat is None or not seat.accepts(ticket):
            return False
        self._seat(ticket, seat, now)
        return True

    def on_cancel(self, ticket: Ticket, now: float) -> None:
        """A waiting request's client left. One that was granted meanwhile ends with `on_done`."""
        if self._waiting.remove(ticket):
            self._decide(now)

    def on_done(self, ticket: Ticket, now: float) -> bool:
        """A granted request ended, however it ended. True when that was a reason to decide."""
        seat, ticket.seat = ticket.seat, None
        if seat is None:
            return False
        seat.in_flight -= 1
        seat.last_used = now
        seat.answers += 1
        seat.answering += now - ticket.granted
        waiting = self._waiting
        if waiting.queues or waiting.wishes or seat.leaving or self._displaced:
            self._decide(now)
            return True
        return False

    def on_ready(self, model: str, now: float) -> None:
        """The engine can serve."""
        seat = self._seats.get(model)
        if seat is None or seat.phase is not Phase.STARTING:
            return
        seat.phase = Phase.READY
        seat.ready_at = seat.last_used = now
        self._history.loads.add(model, now - seat.started_at)
        self._waiting.drop_wish(model)
        self._returning.discard(model)
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
        self._waiting.drop_wish(model)
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
        if seat is not None and seat.answers:
            self._history.answers.add(model, seat.answering / seat.answers)
        if model in self._returning:
            # It gave way; there may be no room for it now.
            self._returning.discard(model)
            self._waiting.drop_wish(model)
            self._displaced.add(model)
        if failed and seat is not None and seat.phase is Phase.STARTING:
            self._waiting.drop_wish(model)
            self._displaced.discard(model)
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
            self._returning.discard(model)
            if seat is None or seat.leaving or seat.phase is not Phase.READY:
                self._wish(model, now)
            self._decide(now)

    def bring_back(self, model: str, now: float) -> None:
        """Load a pinned model whose engine failed, when there is room and nobody waits."""
        if model in self._policy.models and model not in self._seats and not self._closed:
            self._displaced.add(model)
            self._decide(now)

    def unload(self, model: str, now: float, *, force: bool = False) -> None:
        """Stop a model once its requests are done, or at once."""
        self._waiting.drop_wish(model)
        self._displaced.discard(model)
        self._returning.discard(model)
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
        self._waiting.limits, self._waiting.patience = policy.models, policy.max_wait
        self._history.loads.keep(policy.models)
        self._history.answers.keep(policy.models)
        pinned = {model for model, limits in policy.models.items() if limits.pinned}
        self._displaced &= pinned
        for model in self._returning - pinned:
            self._returning.discard(model)
            self._waiting.drop_wish(model)
        for model, seat in self._seats.items():
            if model in changed and seat.phase is Phase.READY and not seat.leaving:
                self._wish(model, now)
            seat.leaving = seat.leaving or model in changed or model not in policy.models
            if model in policy.models:
                # Until it is gone it holds what it was started with.
                new = policy.models[model]
                seat.limits = replace(new, need=seat.need) if seat.is_going else new
        for model in self._waiting.models():
            if model not in policy.models:
                self._refuse_waiting(model, Refusal.UNKNOWN_MODEL)
        for model in self._waiting.wished():
            if model not in policy.models:
                self._waiting.drop_wish(model)
        self._decide(now)

    def remember_loads(self, seconds: Mapping[str, float]) -> None:
        """How long models took to load in earlier times."""
        self._history.loads.start_with(seconds)

    def close(self) -> None:
        """Refuse everything and end every load from now on; what is in flight may finish."""
        self._closed = True
        for model in self._waiting.wished():
            self._waiting.drop_wish(model)
        self._claims.clear()
        self._displaced.clear()
        self._returning.clear()
        for model in self._waiting.models():
            self._refuse_waiting(model, Refusal.STOPPING)
        self._stop_unwanted()

    # ---- Deciding ------------------------------------------------------------------------

    def _decide(self, now: float) -> None:
        self._stop_unwanted()
        self._bring_back(now)
        self._start_free(now)
        self._hold_back(now)
        while self._grant_waiting(now) and self._unmet:
            # Whoever got in gave up a place in the order: somebody else may be next by now.
            self._start_free(now)
            self._hold_back(now)
        if self._displaced and not self._waiting:  # The last one who waited got in.
            self._bring_back(now)
            self._start_free(now)
        self._make_room(now)
        self._stop_expired(now)

    def _stop_unwanted(self) -> None:
        for seat in self._seats.values():  # 1
            unwanted = seat.phase is Phase.STARTING and not self._waiting.wants(seat.model)
            if unwanted or (seat.leaving and seat.in_flight == 0):
                self._stop(seat)

    def _bring_back(self, now: float) -> None:
        self._displaced -= self._seats.keys()
        if self._displaced and not self._waiting:
            room = Room(self._policy, self._seats, self._history, now)
            fits = (model for model in sorted(self._displaced) if room.in_the_way(model) == [])
            if (model := next(fits, None)) is not None:
                self._returning.add(model)
                self._wish(model, now)

    def _start_free(self, now: float) -> None:
        # With each start somebody had their turn, so whose is next is asked anew.
        while self._start_next(now):
            pass
        self._announced &= {claim.model for claim in self._claims}

    def _start_next(self, now: float) -> bool:
        """Start the first model that can be; False when all the others wait."""
        self._claims = []
        self._unmet = False
        if not self._waiting:
            return False
        earlier: set[Group] = set()
        room = Room(self._policy, self._seats, self._history, now)
        for target in self._waiting.targets(self._seats, now):  # 2
            self._unmet = True
            group = self._policy.groups.group(target.model)
            shares = not any(exclude_each_other(group, other) for other in earlier)
            in_the_way = room.in_the_way(target.model) if shares else None
            if in_the_way is None:
                earlier.add(group)  # a
            elif in_the_way:
                earlier.add(group)
                room.promise(target.model, in_the_way)
                self._claims.append(Claim(target.model, target.since, in_the_way))
            else:
                self._start(target, now)  # b
                return True
        return False

    def _start(self, target: Target, now: float) -> None:
        limits = self._policy.models[target.model]
        self._seats[target.model] = Seat(target.model, limits, started_at=now, owed=target.owed)
        self._waiting.loading(target)
        self._effects.start(target.model)

    def _hold_back(self, now: float) -> None:
        for seat in self._seats.values():
            seat.yields_to = None
        for claim in self._claims:
            if now >= self._patience_ends(claim):
                for seat in claim.in_the_way:
                    if seat.yields_to is None and self._is_settled(seat, now):
                        seat.yields_to = claim.since  # 2c

    def _grant_waiting(self, now: float) -> bool:
        """Let in whoever may; whether that was anybody."""
        anybody = False
        for model in self._waiting.models():  # 3
            seat = self._seats.get(model)
            while seat is not None and (ticket := self._waiting.take(model, seat.accepts, now)):
                self._seat(ticket, seat, now)
                anybody = True
        return anybody

    def _make_room(self, now: float) -> None:
        for claim in self._claims:
            for seat in claim.in_the_way:
                # Whoever may still get in was granted before, so an idle one has served its turn.
                if seat.in_flight == 0 and self._is_settled(seat, now):
                    if seat.limits.pinned:
                        self._displaced.add(seat.model)
                    self._stop(seat)  # 4
            ending = all(seat.phase is Phase.STOPPING for seat in claim.in_the_way)
            if ending and claim.model not in self._announced:
                self._announced.add(claim.model)
                self._effects.announce(claim.model)

    def _stop_expired(self, now: float) -> None:
        for seat in self._seats.values():  # 5
            if self._can_expire(seat) and now >= seat.expires_at:
                self._stop(seat)

    # ---- Helpers -------------------------------------------------------------------------

    def _queue(self, ticket: Ticket, now: float) -> None:
        limits = self._policy.models.get(ticket.model)
        if limits is None:
            self._effects.refuse(ticket, Refusal.UNKNOWN_MODEL)
            return
        if self._waiting.count(ticket.model) >= limits.queue:
            other = self._waiting.gives_way(ticket) if limits.queue else None
            if other is None:
                self._effects.refuse(ticket, Refusal.QUEUE_FULL)
                return
            self._waiting.remove(other)
            self._effects.refuse(other, Refusal.QUEUE_FULL)
        self._waiting.add(ticket)
        self._decide(now)

    def _wish(self, model: str, now: float) -> None:
        if not self._closed:
            self._waiting.wish(model, now)

    def _seat(self, ticket: Ticket, seat: Seat, now: float) -> None:
        # Counted only when the waiter took it: one that left never reports back, and the
        # model could then never be stopped.
        ticket.seat, ticket.granted = seat, now
        if self._effects.grant(ticket):
            seat.in_flight += 1
        else:
            ticket.seat = None

    def _stop(self, seat: Seat) -> None:
        if seat.phase is not Phase.STOPPING:
            seat.phase = Phase.STOPPING
            self._effects.stop(seat.model)

    def _refuse_waiting(self, model: str, why: Refusal) -> None:
        for ticket in self._waiting.take_all(model):
            self._effects.refuse(ticket, why)
