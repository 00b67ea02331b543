"""Who waits, and whose turn it is (pure).

Requests of one caller go in the order they came. Between callers the one that was served longest
ago goes first, so a script with a hundred requests waits behind its own requests, not others
behind the script's. A higher priority goes before all that, until a lower one has waited for
`patience`: then it counts as much as the highest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from proxy_app.seats import Limits, Ticket


class Turns:
    """Who was served longest ago. A newcomer comes right behind whoever waits longest."""

    def __init__(self) -> None:
        self._served: dict[str, int] = {}
        self._count = 0

    def arrive(self, caller: str) -> None:
        if caller not in self._served:
            self._served[caller] = self.of(caller)

    def serve(self, caller: str) -> None:
        self._count += 1
        self._served[caller] = self._count

    def leave(self, caller: str) -> None:
        self._served.pop(caller, None)

    def copy(self) -> Turns:
        other = Turns()
        other._served, other._count = dict(self._served), self._count
        return other

    def of(self, caller: str) -> int:
        """Lower is sooner."""
        found = self._served.get(caller)
        return min(self._served.values(), default=self._count) if found is None else found


class Queue:
    """The requests that wait for one model."""

    def __init__(self) -> None:
        self._of_caller: dict[str, deque[Ticket]] = {}
        self._turns = Turns()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Ticket]:
        for tickets in self._of_caller.values():
            yield from tickets

    def add(self, ticket: Ticket) -> None:
        self._of_caller.setdefault(ticket.caller, deque()).append(ticket)
        self._turns.arrive(ticket.caller)
        self._size += 1

    def remove(self, ticket: Ticket) -> bool:
        tickets = self._of_caller.get(ticket.caller)
        if tickets is None or ticket not in tickets:
            return False
        tickets.remove(ticket)
        self._removed(ticket.caller)
        return True

    def take(self, ticket: Ticket) -> None:
        """It is served now."""
        self._turns.serve(ticket.caller)
        self.remove(ticket)

    def heads(self) -> list[Ticket]:
        """Each caller's oldest request."""
        return [tickets[0] for tickets in self._of_caller.values()]

    def turn(self, ticket: Ticket) -> int:
        return self._turns.of(ticket.caller)

    def waiting_of(self, caller: str) -> int:
        return len(self._of_caller.get(caller, ()))

    def newest_of_the_greediest(self) -> Ticket:
        """The newest request of the caller with the most of them."""
        return max(self._of_caller.values(), key=len)[-1]

    def copy(self) -> Queue:
        other = Queue()
        other._of_caller = {caller: tickets.copy() for caller, tickets in self._of_caller.items()}
        other._turns = self._turns.copy()
        other._size = self._size
        return other

    def _removed(self, caller: str) -> None:
        self._size -= 1
        if not self._of_caller[caller]:
            del self._of_caller[caller]
            self._turns.leave(caller)


@dataclass(frozen=True, slots=True)
class Target:
    """A model that somebody wants and that is not loaded."""

    model: str
    since: float
    """Arrival of the oldest request for it."""
    caller: str
    """Whose turn brought it here."""
    owed: float
    """Arrival of that caller's request."""


@dataclass
class Waiting:
    """All queues, and models that are wanted without a request."""

    patience: float = 20
    """Seconds after which a low priority counts as much as the highest."""
    limits: Mapping[str, Limits] = field(default_factory=dict)
    queues: dict[str, Queue] = field(default_factory=dict)
    wishes: dict[str, float] = field(default_factory=dict)
    _loads: Turns = field(default_factory=Turns)
    _of_caller: dict[str, int] = field(default_factory=dict)
    priorities_differ: bool = False
    """Whether time alone can change the order of `targets`, as of the last time it was asked."""

    # ---- Requests ------------------------------------------------------------------------

    def add(self, ticket: Ticket) -> None:
        self.queues.setdefault(ticket.model, Queue()).add(ticket)
        self._of_caller[ticket.caller] = self._of_caller.get(ticket.caller, 0) + 1
        self._loads.arrive(ticket.caller)

    def remove(self, ticket: Ticket) -> bool:
        """Forget a request. False when it does not wait here."""
        queue = self.queues.get(ticket.model)
        if queue is None or not queue.remove(ticket):
            return False
        self._removed(ticket)
        return True

    def take(self, model: str, accepts: Callable[[Ticket], bool], now: float) -> Ticket | None:
        """The next request for the model among those that are acceptable; it waits no longer."""
        queue = self.queues.get(model)
        if queue is None:
            return None
        heads = [ticket for ticket in queue.heads() if accepts(ticket)]
        if not heads:
            return None
        if len(heads) > 1:
            highest = max(self._priority(ticket) for ticket in queue.heads())
            heads.sort(key=lambda one: self._rank(one, highest, queue.turn(one), now))
        queue.take(heads[0])
        self._removed(heads[0])
        return heads[0]

    def take_all(self, model: str) -> list[Ticket]:
        """Every request for the model, oldest first; none waits any longer."""
        tickets = sorted(self.queues.get(model, ()), key=lambda ticket: ticket.arrived)
        for ticket in tickets:
            self.remove(ticket)
        return tickets

    def gives_way(self, ticket: Ticket) -> Ticket | None:
        """Whose place in a full queue a newcomer gets: somebody's who has more than a share."""
        queue = self.queues[ticket.model]
        other = queue.newest_of_the_greediest()
        more = queue.waiting_of(other.caller) > queue.waiting_of(ticket.caller) + 1
        return other if more else None

    def _removed(self, ticket: Ticket) -> None:
        if not self.queues[ticket.model]:
            del self.queues[ticket.model]
        self._of_caller[ticket.caller] -= 1
        if not self._of_caller[ticket.caller]:
            del self._of_caller[ticket.caller]
            self._loads.leave(ticket.caller)

    # ---- Wishes --------------------------------------------------------------------------

    def wish(self, model: str, now: float) -> None:
        self.wishes.setdefault(model, now)

    def drop_wish(self, model: str) -> None:
        self.wishes.pop(model, None)

    # ---- What can be seen ----------------------------------------------------------------

    def __bool__(self) -> bool:
        return bool(self.queues or self.wishes)

    def wants(self, model: str) -> bool:
        return model in self.queues or model in self.wishes

    def count(self, model: str) -> int:
        queue = self.queues.get(model)
        return len(queue) if queue else 0

    def models(self) -> list[str]:
        """Those that requests wait for."""
        return list(self.queues)

    def wished(self) -> list[str]:
        return list(self.wishes)

    def in_order(self, model: str, now: float) -> list[Ticket]:
        """The requests for a model as they would be served, were nothing to change."""
        copy = self.queues[model].copy() if model in self.queues else Queue()
        found = []
        while heads := copy.heads():
            highest = max(self._priority(ticket) for ticket in heads)
            first = min(heads, key=lambda one: self._rank(one, highest, copy.turn(one), now))
            copy.take(first)
            found.append(first)
        return found

    # ---- Which model is loaded next ------------------------------------------------------

    def targets(self, loaded: Mapping[str, object], now: float) -> list[Target]:
        """Models that are wanted and not loaded, the one whose turn it is first."""
        found = []
        for model in dict.fromkeys((*self.wishes, *self.queues)):
            if model not in loaded:
                found.append(self._target(model))
        highest = max((priority for priority, _ in found), default=0)
        self.priorities_differ = any(priority != highest for priority, _ in found)

        def rank(item: tuple[int, Target]) -> tuple[int, int, float]:
            priority, target = item
            overdue = target.since + self.patience <= now
            turn = self._loads.of(target.caller)
            return (-(highest if overdue else priority), turn, target.since)

        return [target for _, target in sorted(found, key=rank)]

    def loading(self, target: Target) -> None:
        """It was this caller's turn to have a model loaded."""
        if target.caller in self._of_caller:
            self._loads.serve(target.caller)

    def _target(self, model: str) -> tuple[int, Target]:
        """The model with the highest priority that anybody who waits for it has."""
        heads = self.queues[model].heads() if model in self.queues else []
        if not heads:
            own = self.limits[model].priority if model in self.limits else 0
            at = self.wishes[model]
            return own, Target(model, at, "", at)
        first = min(
            heads,
            key=lambda one: (-self._priority(one), self._loads.of(one.caller), one.arrived),
        )
        since = min(ticket.arrived for ticket in heads)
        if model in self.wishes:
            since = min(since, self.wishes[model])
        return self._priority(first), Target(model, since, first.caller, first.arrived)

    def _priority(self, ticket: Ticket) -> int:
        if ticket.priority is not None:
            return ticket.priority
        limits = self.limits.get(ticket.model)
        return limits.priority if limits else 0

    def _rank(self, ticket: Ticket, highest: int, turn: int, now: float) -> tuple[int, int, float]:
        overdue = ticket.arrived + self.patience <= now
        priority = highest if overdue else self._priority(ticket)
        return (-priority, turn, ticket.arrived)
