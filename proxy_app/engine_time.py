"""Whose work an engine's time was, when several requests shared it (pure)."""

from __future__ import annotations


class EngineTime:
    """Shares one engine's time among the requests it serves at once.

    While n requests are served, each second counts as 1/n of a second for each of them. So the
    shares of all requests add up to the time in which the engine had something to do, however
    they overlapped. Times are in seconds on any monotonic clock.
    """

    __slots__ = ("_at", "_serving", "_share")

    def __init__(self) -> None:
        self._at = 0.0
        self._serving = 0
        self._share = 0.0
        """What one request would have had that was there all the time."""

    def begin(self, now: float) -> float:
        """A request begins; returns a mark to end it with."""
        self._pass(now)
        self._serving += 1
        return self._share

    def end(self, mark: float, now: float) -> float:
        """The request that got `mark` ends; returns its share in seconds."""
        self._pass(now)
        self._serving -= 1
        return self._share - mark

    def _pass(self, now: float) -> None:
        if self._serving:
            self._share += (now - self._at) / self._serving
        self._at = now
