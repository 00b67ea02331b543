"""uvicorn's HTTP/1.1 protocol with what it lacks for a server that faces any client."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import re
import struct
import termios
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache, partial
from typing import Any, cast
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from proxy_app.client_transport import ClientTransport
from proxy_app.http_cycle import Cycle
from proxy_app.incoming import LINK, App, Scope, Take, take_nothing

logger = logging.getLogger(__name__)

MAX_HEAD_BYTES = 64 * 1024
"""Request line and headers together. More is refused: a larger head only costs time."""

HEAD_SECONDS = 30.0
"""How long a client may take to send a request's head, from its connection or first byte on."""

READING_SECONDS = 60.0
"""How long a client may read nothing of an answer that waits for it, unless a setting says."""

_LONGEST_KEPT = 256
"""Bytes of an address."""

_COUNT = struct.Struct("i")

_OTHER_PROTOCOL = re.compile(
    rb"\r\nupgrade:(?![ \t]*websocket[ \t]*(?:\r\n|\Z))[^\r\n]*", re.IGNORECASE
)


class Protocol(HttpToolsProtocol):
    """Bounds the head, and lets offers of other protocols pass unanswered.

    A client may offer HTTP/2 with its request (Java's does so by default). The parser would
    then take the body for the other protocol's and drop it, so the offer is taken out.
    """

    _in_head = True
    _head_bytes = 0
    _begun = False
    """Whether some of a head has arrived."""
    head_seconds = HEAD_SECONDS
    _head_timer: asyncio.TimerHandle | None = None
    reading_limit: Callable[[], float] = staticmethod(lambda: READING_SECONDS)
    """Seconds a client may read nothing of what waits for it; 0 is for ever."""
    _reading_timer: asyncio.TimerHandle | None = None
    _cycles: tuple[Cycle, ...] = ()
    """The request that is answered, and those that came behind it."""
    cycle: Cycle
    """Of the newest request."""
    _arrived: Cycle | None = None
    """Whose head has just come, and which nobody has begun to answer."""
    _upgrades = False
    """Whether the newest request makes this a WebSocket's connection."""
    _idle_since: float | None = None
    """When the last answer ended; None while one is under way or a head arrives."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._take: Take = getattr(self.app, "take", take_nothing)
        super().connection_made(cast(asyncio.Transport, ClientTransport(transport, self.loop)))
        self._limit_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_here()
        self._is_read_again()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)
        self._tell_of_leaving()
        self._arrived = None

    def _tell_of_leaving(self) -> None:
        """uvicorn tells the newest request alone, though one before it may be the one answered."""
        cycles, self._cycles = self._cycles, ()
        for cycle in cycles:
            if not cycle.response_complete:
                cycle.leave()

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and b"\r\n\r\n" not in data[:MAX_HEAD_BYTES]:
                self.send_400_response("The headers are longer than this server takes.")
                return
            if b"pgrade" in data:
                data = _without_other_protocols(data)
        upgrades = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            logger.warning("Invalid HTTP request received.")
            self._arrived = None
            self.send_400_response("Invalid HTTP request received.")
        except httptools.HttpParserUpgrade:
            upgrades = self._upgrades
        if self._arrived is not None:
            cycle, self._arrived = self._arrived, None
            self._begin(cycle)
        if upgrades:
            self._unset_keepalive_if_required()
            self.handle_websocket_upgrade()
        elif self._begun and self._head_timer is None:
            self._limit_head()

    def _begin(self, cycle: Cycle) -> None:
        """Answer a request whose head has come, and whose body as well may be here."""
        try:
            taken = cycle.whole and self._take(cast(Scope, cycle.scope), cycle)
        except Exception:
            logger.exception("A request is answered the long way.")
            taken = False
        if taken:
            self.flow.resume_reading()  # Or nobody would hear that the client leaves.
        else:
            cycle.begin_task(cast(App, self.app))

    # ---- A client that does not read -----------------------------------------------------

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._reading_timer is None:
            self._limit_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._is_read_again()

    def _limit_reading(self) -> None:
        seconds = self.reading_limit()
        if seconds > 0:
            unread = self._unread()
            self._reading_timer = self.loop.call_later(seconds, self._look_at_reader, unread)

    def _is_read_again(self) -> None:
        if self._reading_timer is not None:
            self._reading_timer.cancel()
            self._reading_timer = None

    def _look_at_reader(self, before: int) -> None:
        """Hang up on a client that took nothing meanwhile: an engine works for it."""
        self._reading_timer = None
        if self._unread() < before:
            self._limit_reading()
        elif not self.transport.is_closing():
            logger.warning("A client read nothing of its answer for too long; it was hung up on.")
            self.transport.abort()

    def _unread(self) -> int:
        """Bytes that wait here and in the system for the client to take them."""
        waiting = int(self.transport.get_write_buffer_size())
        connection = self.transport.get_extra_info("socket")
        with suppress(OSError, AttributeError):
            waiting += _COUNT.unpack(
                fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(_COUNT.size))
            )[0]
        return waiting

    # ---- The head ------------------------------------------------------------------------

    def _limit_head(self) -> None:
        self._head_timer = self.loop.call_later(self.head_seconds, self._give_up)

    def _head_is_here(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        """A client that never finishes asking would hold its connection for ever."""
        self._head_timer = None
        if self._in_head and not self.transport.is_closing():
            self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        # Nonsense behind a request that is still being answered: a word about it would stand
        # in the middle of that answer.
        if self._end_answer():
            self.transport.close()
        else:
            super().send_400_response(msg)

    def _end_answer(self) -> bool:
        """Let the answer in progress know that its client left; False when there is none."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return False
        self._tell_of_leaving()
        return True

    # ---- What the parser calls -----------------------------------------------------------

    def on_message_begin(self) -> None:
        self._in_head, self._head_bytes, self._begun = True, 0, True
        self._upgrades = False
        self._idle_since = None
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        self._in_head = self._begun = False
        self._head_is_here()
        parser, (path, raw_path, query) = self.parser, _address(self.url)
        method, version = parser.get_method().decode("ascii"), parser.get_http_version()
        scope: Scope = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": self.root_path,
            "headers": self.headers,
            "state": self.app_state.copy(),
            "method": method,
            "path": path,
            "raw_path": raw_path,
            "query_string": query,
        }
        self.scope = cast(Any, scope)
        if parser.should_upgrade() and self._should_upgrade():
            self._upgrades = True
            return
        before = self.cycle
        self.cycle = cycle = Cycle(
            scope,
            self,
            in_chunks=version == "1.1" and method != "HEAD",
            keep_alive=version != "1.0" and parser.should_keep_alive(),
            expects_100=self.expect_100_continue,
        )
        scope[LINK] = cycle
        if before is None or before.response_complete:
            self._cycles = (cycle,)
            self._arrived = cycle
        else:
            self._cycles = (*[one for one in self._cycles if not one.response_complete], cycle)
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def on_body(self, body: bytes) -> None:
        cycle = self.cycle
        if self._upgrades or cycle.response_complete:
            return
        if cycle.add(body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()

    def on_message_complete(self) -> None:
        self._in_head, self._head_bytes = True, 0
        if not self._upgrades:
            self.cycle.end_of_body()

    def begin_task(self, cycle: Cycle, app: App) -> asyncio.Task[None]:
        """Answer a request by a task, which the server's end waits for."""
        task = self.loop.create_task(cycle.run_asgi(cast(Any, app)))
        task.add_done_callback(partial(self._ended, cycle))
        self.tasks.add(task)
        return task

    def _ended(self, cycle: Cycle, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        cycle.part()

    # ---- Between requests ----------------------------------------------------------------

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            cast(Cycle, cycle).begin_task(cast(App, app))
            return
        self._idle_since = None if self._begun else self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._limit_idling(self.timeout_keep_alive)

    def _limit_idling(self, seconds: float) -> None:
        """One timer for many requests, which looks again: setting it costs as much as a guard."""
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self._look_at_idling)

    def _look_at_idling(self) -> None:
        self.timeout_keep_alive_task = None
        if self._idle_since is None:  # The end of the answer sets it again.
            return
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._limit_idling(left)
        else:
            self.timeout_keep_alive_handler()


def _address(url: bytes) -> tuple[str, bytes, bytes]:
    """Path, path as it was written, and query. Most ask for one of a few paths again and again."""
    if b"?" in url or len(url) > _LONGEST_KEPT:
        return _parsed(url)
    return _kept(url)


def _parsed(url: bytes) -> tuple[str, bytes, bytes]:
    address = httptools.parse_url(url)
    path = address.path.decode("ascii")
    return unquote(path) if "%" in path else path, address.path, address.query or b""


_kept = lru_cache(maxsize=256)(_parsed)


def _without_other_protocols(data: bytes) -> bytes:
    head, blank, body = data.partition(b"\r\n\r\n")
    return _OTHER_PROTOCOL.sub(b"", head) + blank + body
