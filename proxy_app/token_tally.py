"""Tokens that were generated lately, for pages that show a speed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from proxy_app.entries import Metric, figures_of
from proxy_app.records import Line

AT_ONCE: Final = 100
"""So many requests are read in one go, in about 2 ms: for so long no stream goes on."""


class TokenTally:
    """Reads what engines said of ended requests when somebody asks, and of each only once."""

    def __init__(self, kept: int) -> None:
        """`kept` is how many requests are looked back on."""
        self._unread: deque[Line] = deque(maxlen=kept)
        self._read: deque[tuple[float, int]] = deque(maxlen=kept)
        self._going_on = False

    def remember(self, metrics: Iterable[Metric]) -> None:
        """What ended in an earlier run."""
        for metric in metrics:
            at = datetime.fromisoformat(metric["timestamp"]).timestamp()
            self._read.append((at, metric["output_tokens"]))

    def ended(self, lines: Iterable[Line]) -> None:
        """More requests have ended."""
        self._unread.extend(lines)

    def since(self, moment: float) -> int:
        """Tokens of the requests that came after `moment`, in seconds since 1970.

        When very many have ended since the last time, those that are left are read in the loop's
        next turns, and counted from then on. The moment moves on from time to time.
        """
        while self._unread and self._unread[0].at < moment:
            self._unread.popleft()  # It counts neither now nor later.
        if not self._going_on:
            self._read_some()
        return sum(tokens for at, tokens in self._read if at >= moment)

    def _read_some(self) -> None:
        self._going_on = False
        for _ in range(min(AT_ONCE, len(self._unread))):
            line = self._unread.popleft()
            self._read.append((line.at, figures_of(line).tokens_out or 0))
        if self._unread:
            asyncio.get_running_loop().call_soon(self._read_some)
            self._going_on = True
