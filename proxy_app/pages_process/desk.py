"""The serving process's side: starts the pages process, asks it for pages, does without it.

A page that the other process cannot give is rendered here, as are all until it is ready.
"""

from __future__ import annotations

import asyncio
import hmac
import itertools
import logging
import os
import secrets
import socket
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from proxy_app.doors import LONGEST_ADDRESS
from proxy_app.guards import GuardedProcess, GuardPool, LaunchFailed
from proxy_app.incoming import Receive, Scope, Send
from proxy_app.pages_process.messages import (
    PATIENCE_SECONDS,
    TOKEN,
    Answer,
    Ask,
    Frames,
    FromChild,
    Hello,
    Page,
    Question,
    packed,
    said_of,
)

logger = logging.getLogger(__name__)

START_SECONDS: Final = 60.0
"""A pages process that is not ready by then is given up."""

HOLD_SECONDS: Final = 5.0
"""How long a page waits for the process to be ready while answers stream, which rendering it here
would hold up."""

IDLE_SECONDS: Final = 600.0
"""The process ends when nobody looked at a page for so long; it holds about 80 MB."""

FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 60.0

NAME: Final = "pages-{}.sock"
"""With the serving process's id: while one server follows another there are two of them."""

DECLINED_KEPT: Final = 256
"""Pages that the process was asked for in vain; they are rendered here at once from then on."""

_PAGES: Final = ("/admin", "/ui")
_NOT_THERE: Final = ("/ui/events", "/ui/sign-in", "/ui/welcome")
"""What needs the serving process: a stream without end, and what it alone knows of who came."""

App = Callable[[Any, Any, Any], Awaitable[None]]
"""Django's, whose idea of a scope is not ours."""


class Link(asyncio.Protocol):
    """One connection of the pages process."""

    def __init__(self, desk: PagesProcess) -> None:
        self._desk = desk
        self._frames = Frames()
        self._decode = msgspec.msgpack.Decoder(FromChild).decode

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            for text in self._frames.feed(data):
                self._desk.hear(self, self._decode(text))
        except (ValueError, msgspec.MsgspecError) as error:
            logger.error("The pages process sent what cannot be read: %s", error)
            self.transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._desk.lose(self)

    def send(self, message: Ask | Answer) -> None:
        self.transport.write(packed(message))


class PagesProcess:
    """Starts the process when a page is wanted, and asks it for pages while it runs."""

    def __init__(self, answer: Callable[[str], Any], is_streaming: Callable[[], bool]) -> None:
        """`answer` is asked the process's questions and raises KeyError for what it cannot say;
        `is_streaming` tells whether rendering a page here would hold somebody up."""
        self._answer = answer
        self._is_streaming = is_streaming
        self._wanted = asyncio.Event()
        self._ready = asyncio.Event()
        self._link: Link | None = None
        self._token = ""
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[Page]] = {}
        self._declined: set[str] = set()
        self._asked_at = 0.0
        self._heard_at = 0.0
        self._hangs = asyncio.Event()
        self.rendered = 0
        """Pages that came from the process."""
        self.left = 0
        """Pages that had to be rendered here."""

    # ---- Its life ------------------------------------------------------------------------

    async def keep(
        self, guards: GuardPool, home: Path, working_directory: Path, pids: dict[str, int]
    ) -> None:
        """Run the process whenever pages are wanted, until cancelled. `pids` names it meanwhile."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            await self._wanted.wait()
            began = asyncio.get_running_loop().time()
            try:
                ended = await self._run(guards, home, working_directory, pids)
            except (LaunchFailed, OSError, TimeoutError) as error:
                ended = repr(error)
            self._wanted.clear()
            if not ended:
                continue
            logger.warning(
                "The pages process ended (%s); this process renders pages until the next one "
                "runs. See %s.",
                ended,
                home / "logs" / "pages.log",
            )
            if asyncio.get_running_loop().time() - began > LONGEST_PAUSE_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _run(
        self, guards: GuardPool, home: Path, working_directory: Path, pids: dict[str, int]
    ) -> str:
        """One process from its start to its end; how it ended, empty when we ended it."""
        folder = home / "run"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._token = secrets.token_hex(16)
        self._hangs.clear()
        with _listening(folder) as door:
            address = door.getsockname()
            server = await asyncio.get_running_loop().create_unix_server(
                lambda: Link(self), sock=door
            )
            try:
                child = await guards.launch(
                    argv=[sys.executable, "-m", "proxy_app.pages_process.child", address],
                    env={**os.environ, TOKEN: self._token},
                    cwd=working_directory,
                    log=home / "logs" / "pages.log",
                )
                pids["pages"] = child.pid
                try:
                    return await self._attend(child)
                finally:
                    del pids["pages"]
                    await asyncio.shield(child.stop())
            finally:
                server.close()
                with suppress(OSError):
                    Path(address).unlink()

    async def _attend(self, child: GuardedProcess) -> str:
        ended = asyncio.ensure_future(child.wait())
        ready = asyncio.ensure_future(self._ready.wait())
        hangs = asyncio.ensure_future(self._hangs.wait())
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(START_SECONDS):
                await asyncio.wait([ready, ended], return_when=asyncio.FIRST_COMPLETED)
            while not ended.done() and not hangs.done():
                left = self._asked_at + IDLE_SECONDS - loop.time()
                if left <= 0 and not self._waiting:
                    return ""
                await asyncio.wait(
                    [ended, hangs], timeout=max(1.0, left), return_when=asyncio.FIRST_COMPLETED
                )
            return str(ended.result()) if ended.done() else "it hung"
        finally:
            for task in (ended, ready, hangs):
                task.cancel()
            if self._link is not None:
                self._link.transport.abort()
                self.lose(self._link)

    # ---- What it says --------------------------------------------------------------------

    def hear(self, link: Link, message: Hello | Page | Question) -> None:
        """A message has come."""
        self._heard_at = asyncio.get_running_loop().time()
        if isinstance(message, Hello):
            if not hmac.compare_digest(message.token, self._token):
                link.transport.abort()
                return
            self._link = link
            self._ready.set()
        elif link is not self._link:
            link.transport.abort()
        elif isinstance(message, Page):
            future = self._waiting.get(message.id)
            if future is not None and not future.done():
                future.set_result(message)
        else:
            try:
                link.send(Answer(message.id, True, self._answer(message.name)))
            except KeyError:
                link.send(Answer(message.id, False))

    def lose(self, link: Link) -> None:
        """A connection is gone; who waits for its pages has them rendered here."""
        if link is not self._link:
            return
        self._link = None
        self._ready.clear()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(ConnectionResetError())

    # ---- What it is asked ----------------------------------------------------------------

    async def page(self, scope: Scope) -> Page | None:
        """The page, or None when it has to be rendered here."""
        self._asked_at = asyncio.get_running_loop().time()
        self._wanted.set()
        page = await self._page(scope)
        if page is None:
            self.left += 1
        else:
            self.rendered += 1
        return page

    async def _page(self, scope: Scope) -> Page | None:
        if scope["path"] in self._declined:
            return None
        if self._link is None and self._is_streaming():
            with suppress(TimeoutError):
                async with asyncio.timeout(HOLD_SECONDS):
                    await self._ready.wait()
        if self._link is None:
            return None
        page = await self._asked(self._link, scope)
        if page is None or page.status:
            return page
        if page.never and len(self._declined) < DECLINED_KEPT:
            self._declined.add(scope["path"])
        return None

    async def _asked(self, link: Link, scope: Scope) -> Page | None:
        loop = asyncio.get_running_loop()
        number, asked_at = next(self._numbers), loop.time()
        future = self._waiting[number] = loop.create_future()
        try:
            link.send(Ask(number, said_of(scope)))
            async with asyncio.timeout(PATIENCE_SECONDS):
                page: Page = await future
                return page
        except ConnectionResetError:
            return None
        except TimeoutError:
            if self._heard_at < asked_at:
                self._hangs.set()
            return None
        finally:
            del self._waiting[number]


class PagesElsewhere:
    """An ASGI app before Django's: pages that are only looked at come from the pages process."""

    def __init__(self, app: App, process: PagesProcess) -> None:
        self._app = app
        self._process = process

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        page = await self._process.page(scope) if is_page(scope) else None
        if page is None:
            await self._app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": page.status, "headers": page.headers})
        await send({"type": "http.response.body", "body": page.body})


def is_page(scope: Scope) -> bool:
    """Whether it is a page that is only looked at. What acts belongs to the owner of engines."""
    path: str = scope["path"]
    if scope["method"] not in ("GET", "HEAD") or not path.startswith(_PAGES):
        return False
    return "/" + path.split("/", 2)[1] in _PAGES and not path.startswith(_NOT_THERE)


def _listening(folder: Path) -> socket.socket:
    """A socket in the folder that nobody else's processes can connect to."""
    path = folder / NAME.format(os.getpid())
    if len(os.fsencode(path)) > LONGEST_ADDRESS:
        raise OSError(f"the path {path} is too long for a socket")
    path.unlink(missing_ok=True)
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        door.bind(str(path))
        path.chmod(0o600)
        door.listen(4)
    except BaseException:
        door.close()
        raise
    door.setblocking(False)
    return door
