"""What moving in did, for the person who asked for it."""

from __future__ import annotations

from dataclasses import dataclass, field


class CannotMoveIn(Exception):
    """There is nothing to move in from. The text says what was looked for."""


@dataclass(slots=True)
class Report:
    """What was brought, and what was not, with the reason; a line each."""

    done: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, other: Report) -> None:
        """Append another report's lines."""
        self.done += other.done
        self.notes += other.notes
