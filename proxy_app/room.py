"""Who has to go so that a model can be loaded (pure).

First the groups: rivals cannot stay, whatever memory there is. Then memory, on each device. When
what stays leaves too little room, places are taken in this order, each step only when the ones
before do not give enough:

1. idle models that were loaded for the minimum residency: those that cost least, which is the
   time to load them again, times the weight of their priority, over how long nobody used them;
2. other models: they are waited for, since a busy one is never stopped;
3. protected models, pinned ones and members of persistent groups, in the same two steps: only
   when the model could never be loaded otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from proxy_app.budget import cheapest, lacking, total
from proxy_app.eviction import must_leave
from proxy_app.history import History
from proxy_app.seats import Phase, Policy, Seat

UNKNOWN_LOAD_SECONDS = 10.0
"""Stands for a model's load until one was seen."""

LEAST_LOAD_SECONDS = 0.1
"""Quicker loads count the same: what is left is how long nobody used the model."""


@dataclass(slots=True)
class Room:
    """The machine as it will be when everything decided so far has happened."""

    policy: Policy
    seats: Mapping[str, Seat]
    history: History
    now: float
    going: set[str] = field(default_factory=set)
    """Models that have to go for others."""
    coming: list[Seat] = field(default_factory=list)
    """Models whose place is being made."""

    def in_the_way(self, model: str) -> list[Seat] | None:
        """Who has to be gone before the model can start.

        None when the memory is promised to models that are loaded before it.
        """
        rivals = [self.seats[name] for name in must_leave(model, self.seats, self.policy.groups)]
        need = self.policy.models[model].need
        if not need or not self.policy.budget:
            return rivals
        gone = self.going | {seat.model for seat in rivals}
        staying = [
            seat for seat in self.seats.values() if not seat.is_going and seat.model not in gone
        ]
        held = total((*staying, *self.coming))
        victims: list[Seat] | None = []
        if lacking(need, held, self.policy.budget):
            victims = self._victims(model, staying, held)
        if victims is None:
            return None
        found = {seat.model: seat for seat in (*rivals, *victims)}
        others = [seat for seat in self.seats.values() if seat.model not in found]
        # What goes for others, or by itself, holds its memory until it is gone.
        short = lacking(need, total((*others, *self.coming)), self.policy.budget)
        for seat in others:
            if (seat.is_going or seat.model in self.going) and short & seat.need.keys():
                found[seat.model] = seat
        return list(found.values())

    def promise(self, model: str, in_the_way: list[Seat]) -> None:
        """Keep the place for a model that waits for others to go."""
        self.going.update(seat.model for seat in in_the_way)
        self.coming.append(Seat(model, self.policy.models[model]))

    def _victims(
        self, model: str, staying: list[Seat], held: Mapping[str, int]
    ) -> list[Seat] | None:
        need, budget = self.policy.models[model].need, self.policy.budget
        short = lacking(need, held, budget)
        pool: list[Seat] = []
        for step in self._steps([seat for seat in staying if short & seat.need.keys()]):
            pool += step
            found = cheapest(need, pool, held, budget) if step else None
            if found is not None:
                return found
        return None

    def _steps(self, seats: list[Seat]) -> list[list[Seat]]:
        steps: list[list[Seat]] = [[], [], [], []]
        for seat in seats:
            protected = self.policy.groups.group(seat.model).persistent
            steps[2 * protected + (not self._is_free(seat))].append(seat)
        for free in steps[::2]:
            free.sort(key=self._cost)
        for taken in steps[1::2]:
            # By what time alone does not change: nobody is told when it does.
            taken.sort(key=lambda seat: (seat.phase is not Phase.READY, seat.ready_at))
        return steps

    def _is_free(self, seat: Seat) -> bool:
        settled = self.now >= seat.ready_at + self.policy.min_residency
        return seat.phase is Phase.READY and seat.in_flight == 0 and settled

    def _cost(self, seat: Seat) -> float:
        """What it costs to send it away."""
        load = self.history.loads.of(seat.model)
        load = UNKNOWN_LOAD_SECONDS if load is None else max(load, LEAST_LOAD_SECONDS)
        weight = 2 ** (seat.limits.priority / 10)
        idle = max(0.0, self.now - seat.last_used)
        return load * weight / (idle + 1)
