"""Leaves a model alone for a while whose engine fails again and again (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

STEADY_SECONDS = 60.0
"""An engine that was ready this long has not failed to start, however it ended."""


class Backoff:
    """Counts each model's failures in a row. Times are seconds on any monotonic clock."""

    def __init__(self, pauses: Sequence[float]) -> None:
        """`pauses[n]` follows failure n+1, the last one all later failures."""
        self.pauses = pauses
        self._failures: dict[str, int] = {}
        self._until: dict[str, float] = {}

    def failed(self, model: str, now: float) -> float:
        """Note a failure; how long the model is left alone for it."""
        count = self._failures[model] = self._failures.get(model, 0) + 1
        pause = self.pauses[min(count, len(self.pauses)) - 1] if self.pauses else 0.0
        self._until[model] = now + pause
        return pause

    def ended(self, model: str, ready_at: float, now: float) -> None:
        """A ready engine ended by itself: a failure, too, unless it had run for long."""
        if now - ready_at >= STEADY_SECONDS:
            self.forget((model,))
        self.failed(model, now)

    def remaining(self, model: str, now: float) -> float:
        """Seconds until it may be tried again; 0 when it may."""
        return max(0.0, self._until.get(model, now) - now)

    def failures(self, model: str) -> int:
        """How many there were in a row."""
        return self._failures.get(model, 0)

    def forget(self, models: Iterable[str]) -> None:
        """Start counting anew: the configuration changed, a person asked, or it went well."""
        for model in models:
            self._failures.pop(model, None)
            self._until.pop(model, None)
