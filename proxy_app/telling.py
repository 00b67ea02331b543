"""What the server tells those who listen, and when: states, queues, log text, notices.

Everything is told in bunches, a little after it happened, but for what went wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from proxy_app.events import EventHub
from proxy_app.keys import Caller
from proxy_app.log_streams import LogStreams
from proxy_app.logs import LogHistory, server_log
from proxy_app.notices import Notice, NoticeHandler

STATUS_PAUSE_SECONDS: Final = 0.02
"""Changes of models this close together are told as one."""

QUEUE_PAUSE_SECONDS: Final = 0.25
"""Who waits is told this long after it changed, and no more often."""

LOG_PAUSE_SECONDS: Final = 0.05
"""Lines this close together are told as one piece."""

State = Callable[[], Any]


class Telling:
    """Tells a hub's listeners of everything; lives in one event loop once it was begun."""

    def __init__(
        self,
        hub: EventHub,
        *,
        statuses: State,
        queues: State,
        metrics: State,
        engine_log: Callable[[str], Path | None],
        may_hear: Callable[[Caller, str], bool],
    ) -> None:
        """The states are asked for when they are told; the last two are for `LogStreams`."""
        self._hub = hub
        self._states = {"modelStatus": statuses, "queue": queues}
        self._metrics = metrics
        self._due: dict[str, asyncio.TimerHandle] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self.engine_log = LogHistory()
        self.streams = LogStreams(self.tell_logs, engine_log, may_hear)

    def begin(self) -> None:
        """Hear of what happens from now on."""
        self._loop = asyncio.get_running_loop()
        for source, log in self._logs():
            log.listener = self._when_logged
            if earlier := log.catch_up()[1]:
                self.streams.tell(source, earlier)
        NoticeHandler.listener = self.noticed

    def end(self) -> None:
        """Tell what is left, and hear of nothing more."""
        for _, log in self._logs():
            log.listener = None
        NoticeHandler.listener = None
        self.tell_logs()
        self._loop = None

    def close(self) -> None:
        """End every stream, so that the server can stop."""
        self._hub.close()
        self.streams.close()

    def first_messages(self, hears: Callable[[str], bool]) -> list[tuple[str, Any]]:
        """The whole state, as far as somebody who has just come `hears` of it.

        Others are told first what they have not heard, so that nobody hears a line twice.
        """
        messages: list[tuple[str, Any]] = []
        if hears("logData"):
            messages += (
                ("logData", {"source": name, "data": self._caught_up(name, log)})
                for name, log in self._logs()
            )
        states = {**self._states, "metrics": self._metrics}
        for kind in ("modelStatus", "metrics", "queue"):
            if hears(kind):
                messages.append((kind, states[kind]()))
        return messages

    # ---- What happens ----------------------------------------------------------------------

    def models_changed(self) -> None:
        self._later("modelStatus", STATUS_PAUSE_SECONDS)

    def queue_changed(self) -> None:
        if self._hub.is_heard:
            self._later("queue", QUEUE_PAUSE_SECONDS)

    def _later(self, kind: str, seconds: float) -> None:
        if kind not in self._due and self._loop is not None:
            self._due[kind] = self._loop.call_later(seconds, self._tell, kind)

    def _tell(self, kind: str) -> None:
        del self._due[kind]
        self._hub.publish(kind, self._states[kind]())

    def noticed(self, notice: Notice) -> None:
        """Something went wrong; told at once."""
        self._soon(self._hub.publish, "notice", notice)

    # ---- Log text --------------------------------------------------------------------------

    def _logs(self) -> tuple[tuple[str, LogHistory], ...]:
        return ("proxy", server_log), ("upstream", self.engine_log)

    def _when_logged(self) -> None:
        self._soon(self._tell_logs_later)

    def _tell_logs_later(self) -> None:
        if "logData" not in self._due and self._loop is not None:
            self._due["logData"] = self._loop.call_later(LOG_PAUSE_SECONDS, self.tell_logs)

    def tell_logs(self) -> None:
        """Tell the log text that nobody has heard yet."""
        due = self._due.pop("logData", None)
        if due is not None:
            due.cancel()
        for source, log in self._logs():
            self._caught_up(source, log)

    def _caught_up(self, source: str, log: LogHistory) -> str:
        """Everything that is kept of a log, all of it told."""
        untold, whole = log.catch_up()
        if untold:
            self._hub.publish("logData", {"source": source, "data": untold})
            self.streams.tell(source, untold)
        return whole

    def _soon(self, act: Callable[..., None], *values: Any) -> None:
        """In the event loop, from whatever thread."""
        if self._loop is not None:
            with suppress(RuntimeError):  # It is closed.
                self._loop.call_soon_threadsafe(act, *values)
