"""What the scheduler promises whatever happens, in whatever order.

`Machine` is the world around a scheduler: it obeys, checks every order it gets, and answers
only when the test says so.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from hypothesis import given, note, settings
from hypothesis import strategies as st

from proxy_app.budget import lacking, total
from proxy_app.eviction import PINNED, Group, Groups, must_leave
from proxy_app.scheduler import Scheduler
from proxy_app.seats import Limits, Policy, Refusal, Ticket

MODELS = ("a", "b", "c", "d")
CALLERS = ("", "script", "person")
MOVES = 250
"""Moves of one example."""
EXAMPLES = 430
"""Of them: more than 100,000 moves in all."""


@dataclass(eq=False)
class FakeEngine:
    """One loaded model as the machine knows it."""

    model: str
    need: Mapping[str, int] = field(default_factory=dict)
    ready: bool = False
    stopping: bool = False
    drains: bool = False
    """Someone asked for its end; it gets no new requests."""
    served: list[Ticket] = field(default_factory=list)


class Machine:
    """Implements `Effects` and holds the scheduler to its promises."""

    def __init__(self, policies: Sequence[Policy]) -> None:
        self.now = 1000.1
        self.policies = policies
        self.policy = policies[0]
        self.engines: dict[str, FakeEngine] = {}
        self.waiting: list[Ticket] = []
        self.gone: list[Ticket] = []
        """Their clients left, and the scheduler was not told yet."""
        self.served: list[tuple[Ticket, FakeEngine]] = []
        self.wished: set[str] = set()
        """Models that may be wanted without a request."""
        self.forced = ""
        self.closed = False
        self.orders = 0
        self.scheduler = Scheduler(self, self.policy)

    # ---- Orders --------------------------------------------------------------------------

    def start(self, model: str) -> None:
        assert not self.closed
        assert model in self.policy.models
        assert model not in self.engines, "started twice"
        assert not must_leave(model, self.engines, self.policy.groups), "started beside a rival"
        need = self.policy.models[model].need
        short = lacking(need, total(self.engines.values()), self.policy.budget)
        assert not short, "started beyond the memory budget, and not alone"
        self.engines[model] = FakeEngine(model, need)
        self.orders += 1

    def announce(self, model: str) -> None:
        assert model not in self.engines

    def stop(self, model: str) -> None:
        engine = self.engines[model]
        assert not engine.stopping, "stopped twice"
        assert not engine.served or self.forced == model, "stopped while it served"
        pinned = self.policy.models.get(model, Limits()).pinned
        if pinned and engine.ready and not engine.drains and self.forced != model:
            assert self._someone_cannot_do_without(), "a pinned model went without need"
        engine.stopping = True
        self.orders += 1

    def _someone_cannot_do_without(self) -> bool:
        """Whether someone who waits would never fit beside protected models and others' places."""
        wanted = {ticket.model for ticket in self.waiting} | self.wished
        places = {m: FakeEngine(m, self.policy.models[m].need) for m in wanted - set(self.engines)}
        kept = [e for e in self.engines.values() if self.policy.groups.group(e.model).persistent]
        return any(
            lacking(place.need, total((*kept, *others)), self.policy.budget)
            for model, place in places.items()
            for others in [[other for name, other in places.items() if name != model]]
        )

    def grant(self, ticket: Ticket) -> bool:
        self._answer(ticket)
        if ticket in self.gone:
            return False
        engine = self.engines[ticket.model]
        assert not self.closed
        assert engine.ready and not engine.stopping and not engine.drains
        assert len(engine.served) < self.policy.models[ticket.model].concurrency
        engine.served.append(ticket)
        self.served.append((ticket, engine))
        return True

    def refuse(self, ticket: Ticket, why: Refusal) -> None:
        self._answer(ticket)

    def _answer(self, ticket: Ticket) -> None:
        assert ticket in self.waiting, "answered twice"
        self.waiting.remove(ticket)
        self.orders += 1

    # ---- Moves: what may happen, each picking its subject by a number ---------------------

    def request(self, pick: int) -> None:
        late = pick % 7 * 0.1 if pick > 40 else 0  # came while its body was still being read
        caller = CALLERS[pick // len(MODELS) % len(CALLERS)]
        priority = 3 if pick in (17, 18, 19) else None
        ticket = Ticket(MODELS[pick % len(MODELS)], self.now - late, caller, priority)
        self.waiting.append(ticket)
        self.scheduler.on_request(ticket, self.now)

    def leave(self, pick: int) -> None:
        here = [ticket for ticket in self.waiting if ticket not in self.gone]
        if here:
            self.gone.append(here[pick % len(here)])

    def cancel(self, pick: int) -> None:
        if not self.gone:
            self.leave(pick)
        if self.gone:
            ticket = self.gone.pop(pick % len(self.gone))
            if ticket in self.waiting:
                self._answer(ticket)
            self.scheduler.on_cancel(ticket, self.now)

    def done(self, pick: int) -> None:
        if self.served:
            ticket, engine = self.served.pop(pick % len(self.served))
            engine.served.remove(ticket)
            self.scheduler.on_done(ticket, self.now)

    def ready(self, pick: int) -> None:
        loading = [engine for engine in self.engines.values() if not engine.ready]
        if loading:
            engine = loading[pick % len(loading)]
            engine.ready = True
            if not engine.stopping:
                self.wished.discard(engine.model)
            self.scheduler.on_ready(engine.model, self.now)

    def adopt(self, pick: int) -> None:
        model = MODELS[pick % len(MODELS)]
        groups = self.policy.groups
        free = model not in self.engines and model in self.policy.models and not self.closed
        rivals = must_leave(model, self.engines, groups) or any(
            must_leave(one, (model,), groups) for one in self.engines
        )
        free = free and not rivals
        if free:
            need = self.policy.models[model].need
            self.engines[model] = FakeEngine(model, need, ready=True)
            self.wished.discard(model)
        assert self.scheduler.adopt(model, self.now) is free

    def ended(self, pick: int) -> None:
        self._end([engine for engine in self.engines.values() if engine.stopping], pick)

    def crash(self, pick: int) -> None:
        self._end(list(self.engines.values()), pick)

    def _end(self, engines: list[FakeEngine], pick: int) -> None:
        if engines:
            model = engines[pick // 2 % len(engines)].model
            if pick % 2 and not self.engines[model].ready and not self.engines[model].stopping:
                self.wished.discard(model)
            del self.engines[model]
            self.scheduler.on_ended(model, self.now, failed=bool(pick % 2))

    def ending(self, pick: int) -> None:
        up = [engine for engine in self.engines.values() if engine.ready and not engine.stopping]
        if up:
            engine = up[pick % len(up)]
            engine.stopping = True
            self.scheduler.on_ending(engine.model)

    def load(self, pick: int) -> None:
        self.wished.add(MODELS[pick % len(MODELS)])
        self.scheduler.load(MODELS[pick % len(MODELS)], self.now)

    def bring_back(self, pick: int) -> None:
        pinned = [model for model, limits in self.policy.models.items() if limits.pinned]
        if pinned:
            self.scheduler.bring_back(pinned[pick % len(pinned)], self.now)

    def unload(self, pick: int) -> None:
        model = MODELS[pick % len(MODELS)]
        if model in self.engines:
            self.engines[model].drains = True
        self.wished.discard(model)
        self.scheduler.unload(model, self.now)

    def force(self, pick: int) -> None:
        self.forced = MODELS[pick % len(MODELS)]
        self.wished.discard(self.forced)
        self.scheduler.unload(self.forced, self.now, force=True)
        self.forced = ""

    def configure(self, pick: int) -> None:
        self.policy = self.policies[pick % len(self.policies)]
        changed = frozenset(model for bit, model in enumerate(MODELS) if pick >> (bit + 2) & 1)
        self.wished = (self.wished | changed) & set(self.policy.models)
        for model, engine in self.engines.items():
            engine.drains |= model in changed or model not in self.policy.models
            if not engine.drains and not engine.stopping:
                engine.need = self.policy.models[model].need
        self.scheduler.configure(self.policy, self.now, changed)

    def close(self, pick: int) -> None:
        if pick > 55:
            self.closed = True
            self.wished.clear()
            self.scheduler.close()
            for model in self.scheduler.loaded():
                self.engines[model].drains = True
                self.scheduler.unload(model, self.now)

    def wait(self, pick: int) -> None:
        """Time passes; the scheduler is woken when it asked to be, and must not need more."""
        until = self.now + pick * 0.1
        while (due := self.scheduler.next_deadline(self.now)) is not None and due <= until:
            assert due > self.now
            if (between := (self.now + due) / 2) < due:
                self.tick_in_vain(between)
            self.now = due
            self.scheduler.on_tick(self.now)
        self.tick_in_vain(until)
        self.now = until

    # ---- Promises ------------------------------------------------------------------------

    def tick_in_vain(self, at: float) -> None:
        before = self.orders, repr(self.scheduler)
        self.scheduler.on_tick(at)
        assert (self.orders, repr(self.scheduler)) == before, "a moment without a deadline"

    def check(self) -> None:
        self.tick_in_vain(self.now)
        assert set(self.scheduler.loaded()) == set(self.engines)
        for model in MODELS:
            queue = [ticket for ticket in self.waiting if ticket.model == model]
            assert self.scheduler.queued(model) == len(queue)
            engine = self.engines.get(model)
            assert self.scheduler.in_flight(model) == (len(engine.served) if engine else 0)
            assert not queue or model in self.policy.models
            if engine and queue:
                self._check_nobody_is_held_back_early(engine)
            if engine and not engine.ready and not engine.stopping:
                comes_back = self.policy.models[model].pinned
                assert queue or model in self.wished or comes_back, "loaded for nobody"

    def _check_nobody_is_held_back_early(self, engine: FakeEngine) -> None:
        """A ready model with a free place lets nobody wait unless another waited too long."""
        free = len(engine.served) < self.policy.models[engine.model].concurrency
        if engine.ready and free and not (engine.stopping or engine.drains or self.wished):
            others = [t.arrived for t in self.waiting if t.model != engine.model]
            assert min(others) + self.policy.max_wait <= self.now

    def settle(self, order: Sequence[str]) -> None:
        """From here on the machine answers everything, and loading takes longer than anyone
        may wait. Then every request is answered, in a number of moves that does not grow with
        anything but the requests."""
        moves = 60 * (len(MODELS) + len(self.waiting) + len(self.served))
        while self.waiting:
            moves -= 1
            assert moves, "going round in circles"
            if not any(self._answers(name) for name in order):
                due = self.scheduler.next_deadline(self.now)
                assert due is not None, "a request was lost"
                self.now = due
                self.scheduler.on_tick(due)
            self.check()

    def _answers(self, name: str) -> bool:
        match name:
            case "ready" if any(not e.ready and not e.stopping for e in self.engines.values()):
                self.now += self.policy.max_wait + self.policy.min_residency + 1
                loading = [engine for engine in self.engines.values() if not engine.ready]
                self.ready(next(i for i, engine in enumerate(loading) if not engine.stopping))
            case "ended" if any(engine.stopping for engine in self.engines.values()):
                self.ended(0)
            case "done" if self.served:
                self.done(0)
            case _:
                return False
        return True


# Each made once: a strategy costs more to make than to draw from.
switches = st.booleans()
named_groups = st.tuples(
    *(st.builds(Group, st.just(n), switches, switches, switches) for n in "xyz")
)
memberships = st.tuples(*(st.sampled_from((0, 1, 2)) for _ in MODELS))
needs = st.fixed_dictionaries({"CPU": st.integers(0, 6), "GPU": st.integers(0, 6)})
limits = st.builds(
    Limits,
    concurrency=st.integers(1, 3),
    queue=st.integers(0, 6),
    ttl=st.sampled_from((0, 0.7, 3.1)),
    priority=st.sampled_from((0, 0, 5)),
    need=st.just({}) | needs,
)
all_limits = st.tuples(*(limits for _ in MODELS))
budgets = st.fixed_dictionaries({}, optional={"CPU": st.integers(1, 12), "GPU": st.integers(1, 9)})
pins = st.sets(st.sampled_from(MODELS), max_size=2)


def policy_of(
    named: tuple[Group, ...],
    members: tuple[int, ...],
    each: tuple[Limits, ...],
    pinned: set[str],
    max_wait: float,
    min_residency: float,
    budget: Mapping[str, int],
) -> Policy:
    of_model = {m: named[n] for m, n in zip(MODELS, members, strict=True) if n}
    return Policy(
        models={
            model: replace(one, pinned=True, ttl=0) if model in pinned else one
            for model, one in zip(MODELS, each, strict=True)
        },
        groups=Groups(named[0], {**of_model, **dict.fromkeys(pinned, PINNED)}),
        max_wait=max_wait,
        min_residency=min_residency,
        budget=budget,
    )


policies_in_turn = st.lists(
    st.builds(
        policy_of,
        named_groups,
        memberships,
        all_limits,
        pins,
        st.sampled_from((0.3, 0, 5.1)),
        st.sampled_from((0, 0.4, 2.3)),
        budgets,
    ),
    min_size=1,
    max_size=3,
)


VERBS = (
    *("request", "ready", "done", "ended", "wait", "leave", "cancel", "crash", "ending"),
    *("load", "unload", "force", "configure", "close", "adopt", "bring_back"),
)


@dataclass(frozen=True)
class Script:
    """What happens, two bytes a move. Zero is nothing, so that a failing script gets short."""

    vocabulary: tuple[str, ...]
    raw: bytes

    def __iter__(self) -> Iterator[tuple[str, int]]:
        for verb, pick in zip(self.raw[::2], self.raw[1::2], strict=True):
            if verb:
                yield self.vocabulary[verb % len(self.vocabulary)], pick % 64


scripts = st.builds(
    Script,
    # Not every script knows every verb: some things only go wrong when others do not happen.
    vocabulary=st.lists(st.sampled_from(VERBS), min_size=4, max_size=16).map(
        lambda verbs: ("request", *verbs)
    ),
    raw=st.binary(min_size=2 * MOVES, max_size=2 * MOVES),
)


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    policies=policies_in_turn,
    script=scripts,
    order=st.permutations(("ready", "ended", "done")),
)
def test_it_keeps_its_promises_in_any_order_of_events(
    policies: list[Policy], script: Script, order: list[str]
) -> None:
    machine = Machine(policies)
    moves = list(script)
    note(str(moves))
    for verb, pick in moves:
        getattr(machine, verb)(pick)
        machine.check()
    machine.settle(order)


@dataclass
class Rivals:
    """Clients that each send one request after the other to models that exclude one another."""

    models: int
    clients: int
    """For each model."""
    rounds: int
    load: int
    serve: int
    stopping: int
    max_wait: int
    min_residency: int
    now: float = 0
    loads: int = 0
    waits: list[float] = field(default_factory=list)
    events: list[tuple[float, int, str, str | Ticket]] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=count)

    def start(self, model: str) -> None:
        self.loads += 1
        self._later(self.load, "ready", model)

    def announce(self, model: str) -> None:
        pass

    def stop(self, model: str) -> None:
        self._later(self.stopping, "ended", model)

    def grant(self, ticket: Ticket) -> bool:
        self.waits.append(self.now - ticket.arrived)
        self._later(self.serve, "done", ticket)
        return True

    def refuse(self, ticket: Ticket, why: Refusal) -> None:
        raise AssertionError(why)

    def _later(self, seconds: int, what: str, whom: str | Ticket) -> None:
        heapq.heappush(self.events, (self.now + seconds, next(self.numbers), what, whom))

    def run(self) -> None:
        names = MODELS[: self.models]
        policy = Policy(
            models=dict.fromkeys(names, Limits(concurrency=1)),
            max_wait=self.max_wait,
            min_residency=self.min_residency,
        )
        scheduler = Scheduler(self, policy)
        rounds = dict.fromkeys(names, self.clients * self.rounds)
        for model in names * self.clients:
            self._later(0, "request", model)
        for _ in range(12 * sum(rounds.values())):
            due = scheduler.next_deadline(self.now)
            if due is not None and (not self.events or due <= self.events[0][0]):
                self.now = due
                scheduler.on_tick(due)
                continue
            if not self.events:
                return
            self.now, _, what, whom = heapq.heappop(self.events)
            match what, whom:
                case "request", str(model) if rounds[model]:
                    rounds[model] -= 1
                    scheduler.on_request(Ticket(model, self.now), self.now)
                case "done", Ticket() as ticket:
                    scheduler.on_done(ticket, self.now)
                    self._later(0, "request", ticket.model)
                case "ready", str(model):
                    scheduler.on_ready(model, self.now)
                case "ended", str(model):
                    scheduler.on_ended(model, self.now)
        raise AssertionError("going round in circles")


seconds = st.integers(0, 30)


@settings(deadline=None)
@given(
    st.builds(
        Rivals,
        models=st.integers(2, len(MODELS)),
        clients=st.integers(1, 4),
        rounds=st.integers(1, 6),
        load=seconds,
        serve=seconds,
        stopping=seconds,
        max_wait=seconds,
        min_residency=seconds,
    )
)
def test_rivals_take_turns_however_long_loading_takes(rivals: Rivals) -> None:
    rivals.run()

    requests = rivals.models * rivals.clients * rivals.rounds
    turn = (
        max(rivals.max_wait, rivals.min_residency)
        + rivals.stopping
        + rivals.load
        + (rivals.clients + 1) * rivals.serve
    )
    assert len(rivals.waits) == requests
    assert rivals.loads <= requests
    assert max(rivals.waits) <= rivals.models * turn
