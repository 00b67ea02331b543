"""What becomes of ended requests in the serving process: journal, events, the newest ones.

Everything happens in the event loop and in bunches; what costs more than a copy is left to others.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from proxy_app.audience import is_own
from proxy_app.engine_time import EngineTime
from proxy_app.entries import Metric, metric_of_line
from proxy_app.events import EventHub
from proxy_app.journal import Journal
from proxy_app.keys import Caller
from proxy_app.records import Line, Record, Records, line_of
from proxy_app.token_tally import TokenTally

logger = logging.getLogger(__name__)

FLUSH_SECONDS: Final = 0.02
"""How long an ended request may be in memory only; a server that is killed loses no more."""

TELL_SECONDS: Final = 0.1
"""Listeners are told of ended requests this long after the first of them, and no more often: each
message costs all of them a wake-up and this server a system call."""

NEWEST_KEPT: Final = 1000


class Accounting:
    """Keeps the requests under way and writes down those that ended."""

    def __init__(self, journal: Journal, hub: EventHub) -> None:
        self._journal = journal
        self._hub = hub
        self._ended: list[Record] = []
        self._flush: asyncio.TimerHandle | None = None
        self._untold: list[Line] = []
        self._telling: asyncio.TimerHandle | None = None
        self._times: dict[str, EngineTime] = {}
        self._newest: deque[Line] = deque(maxlen=NEWEST_KEPT)
        self._metrics: dict[int, Metric | None] = {}
        self._earlier: list[Metric] = []
        self.tokens = TokenTally(NEWEST_KEPT)
        """Of the newest requests."""
        self._lost = 0
        self.kept = True
        """Whether ended requests are written down."""
        self.charge: Callable[[list[Line]], None] = lambda lines: None
        """Counts what requests used against the limits of their keys."""
        self.on_written: Callable[[list[Line]], None] = lambda lines: None
        """Told of requests that were written down."""
        self.on_unwritten: Callable[[list[Line]], None] = lambda lines: None
        """Told of the others."""
        self.count = 0
        """Requests that ended since the server started."""
        self.records = Records(self._on_end)

    def granted(self, record: Record, now: float, loading: float, gpus: int) -> None:
        """A request was let through to its engine."""
        record.granted = now
        record.loading = loading
        record.gpus = gpus
        time = self._times.get(record.model)
        if time is None:
            time = self._times[record.model] = EngineTime()
        record.engine_mark = time.begin(now)

    def flush(self) -> None:
        """Write down what ended."""
        self._flush = None
        ended, self._ended = self._ended, []
        lines = [line_of(record) for record in ended]
        self._newest.extend(lines)
        self.tokens.ended(lines)
        self.charge(lines)
        if self.kept:
            self._write(lines)
        else:
            self.on_unwritten(lines)
        if self._hub.is_heard:
            self._tell_later(lines)

    def _tell_later(self, lines: list[Line]) -> None:
        self._untold += lines
        if self._telling is None:
            loop = asyncio.get_running_loop()
            self._telling = loop.call_later(TELL_SECONDS, self._tell)

    def _tell(self) -> None:
        """Tell listeners what they have not heard yet."""
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        untold, self._untold = self._untold, []
        told = [(line, metric) for line in untold if (metric := self._metric(line)) is not None]
        if told:

            def own(caller: Caller) -> list[Metric]:
                return [metric for line, metric in told if is_own(caller, line)]

            self._hub.publish("metrics", [metric for _, metric in told], own)

    def remember(self, metrics: list[Metric]) -> None:
        """What ended in an earlier run, numbered from 0; called before the first request."""
        self._earlier = metrics
        self.tokens.remember(metrics)
        self.records.number_from(len(metrics))

    def metrics(self) -> list[Metric]:
        """The newest requests with figures, oldest first.

        Listeners are told of them first, so that whoever joins them hears of none twice.
        """
        self._tell()
        newest = [metric for line in self._newest if (metric := self._metric(line)) is not None]
        return [*self._earlier, *newest][-NEWEST_KEPT:]

    def _metric(self, line: Line) -> Metric | None:
        """Worked out once: a thousand of them take the loop 20 ms, in which no stream goes on."""
        if line.number not in self._metrics:
            self._metrics[line.number] = metric_of_line(line)
            if len(self._metrics) > NEWEST_KEPT:
                del self._metrics[next(iter(self._metrics))]
        return self._metrics[line.number]

    def close(self) -> None:
        """Write down what is left."""
        if self._flush is not None:
            self._flush.cancel()
            self.flush()
        self._tell()
        self._journal.close()

    def _on_end(self, record: Record) -> None:
        self.count += 1
        if record.engine_mark is not None and record.ended is not None:
            time = self._times[record.model]
            record.engine_seconds = time.end(record.engine_mark, record.ended)
        self._ended.append(record)
        if self._flush is None:
            loop = asyncio.get_running_loop()
            self._flush = loop.call_later(FLUSH_SECONDS, self.flush)

    def _write(self, lines: list[Line]) -> None:
        try:
            self._journal.append(lines)
        except OSError as error:
            if not self._lost:
                logger.error(
                    "Usage cannot be written down: %s. Requests are served all the same.",
                    error.strerror or error,
                )
            self._lost += len(lines)
            self.on_unwritten(lines)
        else:
            self.on_written(lines)
            if self._lost:
                logger.warning("Usage is written down again; %d requests are missing.", self._lost)
                self._lost = 0
