"""Which pieces of a file are here, and who fetches which of the others. Pure.

A file is cut into pieces of equal length; only the last may be shorter. A connection asks the
server for a run of neighbouring pieces at once, since every request costs a round trip, and
reports piece after piece. Runs are handed out from the front, so that whoever hashes the file
from its beginning can follow. When none is left, an idle connection takes the back half of the
longest run that another one still has before it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MIB = 1024 * 1024
PIECE_BYTES = 2 * MIB
"""What each connection fetches again at most when the worker is killed."""

SHORTEST_STEAL = 2
"""Pieces a run must still hold to be shared: below that a new request costs more than it saves."""


@dataclass(eq=False, slots=True)
class Run:
    """Pieces `next` up to, but not including, `end`, fetched in one request."""

    next: int
    end: int
    got: int = 0
    """Bytes of the next piece that are here, left by a connection that was cut within it."""
    crc: int = 0
    """Their CRC-32."""

    @property
    def left(self) -> int:
        return self.end - self.next


class Pieces:
    """The state of one file of `size` bytes. Not safe for threads: whoever shares it locks it."""

    def __init__(self, size: int, done: Iterable[int] = (), piece: int = PIECE_BYTES) -> None:
        self.size = size
        self.piece = piece
        self.count = -(-size // piece)
        self._done = bytearray(self.count)
        self._runs: list[Run] = []
        self._begun: dict[int, tuple[int, int]] = {}
        self._missing = self.count
        for number in done:
            self._mark(number)

    @property
    def complete(self) -> bool:
        return self._missing == 0

    @property
    def done_bytes(self) -> int:
        """Bytes of the pieces that are here."""
        if self.count and self._done[-1]:
            return (self.count - 1 - self._missing) * self.piece + self.length(self.count - 1)
        return (self.count - self._missing) * self.piece

    @property
    def bytes_here(self) -> int:
        """`done_bytes` and what is here of unfinished pieces, as far as it is known."""
        begun = sum(got for got, _ in self._begun.values())
        return self.done_bytes + begun + sum(run.got for run in self._runs)

    def has(self, number: int) -> bool:
        return bool(self._done[number])

    def start(self, number: int) -> int:
        """Offset of a piece's first byte."""
        return number * self.piece

    def length(self, number: int) -> int:
        return min(self.piece, self.size - number * self.piece)

    def take(self, at_most: int) -> Run | None:
        """A run of up to `at_most` pieces for an idle connection; None when there is none."""
        run = self._first_free(at_most) or self._half_of_another()
        if run is not None:
            self._runs.append(run)
            run.got, run.crc = self._begun.pop(run.next, (0, 0))
        return run

    def arrived(self, run: Run) -> bool:
        """The run's next piece is here. False when the rest was given to somebody else."""
        self._mark(run.next)
        run.next, run.got, run.crc = run.next + 1, 0, 0
        if run.left > 0:
            return True
        self.give_back(run)
        return False

    def give_back(self, run: Run) -> None:
        """Whoever fetched the run stops; what it still held is free again."""
        if run in self._runs:
            self._runs.remove(run)
            if run.got and run.left > 0:
                self._begun[run.next] = run.got, run.crc

    def forget(self, numbers: Iterable[int]) -> None:
        """These have to be fetched again."""
        self._begun.clear()
        for number in numbers:
            if self._done[number]:
                self._done[number] = 0
                self._missing += 1

    def _mark(self, number: int) -> None:
        if not self._done[number]:
            self._done[number] = 1
            self._missing -= 1

    def _first_free(self, at_most: int) -> Run | None:
        taken = {number for run in self._runs for number in range(run.next, run.end)}
        first = 0
        while (first := self._done.find(0, first)) >= 0 and first in taken:
            first += 1
        if first < 0:
            return None
        end = first + 1
        while end < min(first + at_most, self.count) and not self._done[end] and end not in taken:
            end += 1
        return Run(first, end)

    def _half_of_another(self) -> Run | None:
        longest = max(self._runs, key=lambda run: run.left, default=None)
        # The piece being received stays where it is.
        if longest is None or longest.left - 1 < SHORTEST_STEAL:
            return None
        middle = longest.end - (longest.left - 1) // 2
        stolen = Run(middle, longest.end)
        longest.end = middle
        return stolen
