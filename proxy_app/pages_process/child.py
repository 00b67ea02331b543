"""The pages process: `python -m proxy_app.pages_process.child SOCKET`.

It renders pages for the serving process, which alone talks to clients, and ends with it.
"""

from __future__ import annotations

import gc
import io
import itertools
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

import django

if __name__ == "__main__":
    django.setup(set_prefix=False)  # Loads the apps; what follows needs them.

import msgspec
from django.core import signals
from django.core.handlers.base import BaseHandler
from django.db import connections
from django.http import HttpResponseBase
from django.urls import get_resolver, set_script_prefix

from models_app import live
from models_app.admin.live import SERVING as ADMIN
from models_app.admin.live import LiveModel
from models_app.document import ConfigDocument
from proxy_app import questions
from proxy_app.errors import NotServing
from proxy_app.hosts import GuardedRequest
from proxy_app.pages_process.messages import (
    PATIENCE_SECONDS,
    TOKEN,
    Answer,
    Ask,
    Frames,
    FromServer,
    Hello,
    Page,
    Question,
    packed,
    scope_of,
)
from proxy_app.serving import SERVING
from proxy_app.session_weight import let_others_go_first

logger = logging.getLogger(__name__)

_page = threading.local()
"""Its `lacks_owner` tells whether the page that a thread renders missed what only the serving
process has."""

THREADS: Final = 3
"""Pages that wait for the database let others on. With more threads they only take the interpreter
from each other, at every query of each."""

NICE: Final = 10
"""Streams come first, on a machine without a processor to spare."""

ANSWER_SECONDS: Final = 2.0
"""How long a page waits for what the serving process knows; then it is shown without."""

KEPT_SECONDS: Final = 60
"""How long a thread keeps its connection to the database. Opening one takes as long as several
queries."""

READ_BYTES: Final = 256 * 1024


class Pages(BaseHandler):
    """Django, without a server around it."""

    def __init__(self) -> None:
        self.load_middleware()
        _ = get_resolver().url_patterns  # Loads all views, before the first page is asked for.

    def render(self, number: int, scope: dict[str, Any]) -> Page:
        """The whole page. Status 0 for what is not to be answered from here."""
        set_script_prefix("/")
        _page.lacks_owner = False
        signals.request_started.send(sender=type(self), scope=scope)
        response = self.get_response(GuardedRequest(scope, io.BytesIO()))
        try:
            # An error is to stand in the server's own log; a stream has no end to wait for.
            never = _page.lacks_owner or getattr(response, "is_async", False)
            if never or response.status_code >= 500:
                return Page(number, never=never)
            status, headers = response.status_code, headers_of(response)
            return Page(number, status, headers=headers, body=body_of(response))
        finally:
            response.close()


def headers_of(response: HttpResponseBase) -> list[tuple[bytes, bytes]]:
    """As Django's own ASGI handler sends them."""
    headers = [(name.encode("ascii"), value.encode("latin-1")) for name, value in response.items()]
    cookies = response.cookies.values()
    return [*headers, *((b"Set-Cookie", one.output(header="").strip().encode()) for one in cookies)]


def body_of(response: HttpResponseBase) -> bytes:
    pieces: Iterable[bytes] = response
    return b"".join(pieces)


class Link:
    """The connection to the serving process; used by all threads."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._numbers = itertools.count()
        self._asked: dict[int, Future[Answer]] = {}
        self._decode = msgspec.msgpack.Decoder(FromServer).decode

    def send(self, message: Hello | Page | Question) -> None:
        with self._sending:
            self._connection.sendall(packed(message))

    def ask(self, name: str) -> Any:
        """What only the serving process knows. Raises NotServing when it does not say."""
        number = next(self._numbers)
        future = self._asked[number] = Future()
        try:
            self.send(Question(number, name))
            answer = future.result(ANSWER_SECONDS)
        except (OSError, TimeoutError):
            raise NotServing from None
        finally:
            del self._asked[number]
        if not answer.known:
            raise NotServing
        return answer.value

    def serve(self, pages: Pages) -> None:
        """Render what is asked for, until the serving process hangs up."""
        frames = Frames()
        with ThreadPoolExecutor(THREADS, thread_name_prefix="page") as threads:
            while data := self._connection.recv(READ_BYTES):
                for text in frames.feed(data):
                    message = self._decode(text)
                    if isinstance(message, Ask):
                        threads.submit(self._render, pages, message, time.monotonic())
                    elif future := self._asked.get(message.id):
                        future.set_result(message)

    def _render(self, pages: Pages, ask: Ask, came_at: float) -> None:
        if time.monotonic() - came_at > PATIENCE_SECONDS:
            return  # The serving process has given it up.
        try:
            page = pages.render(ask.id, scope_of(ask.scope))
        except Exception:
            logger.exception("The page %s could not be rendered.", ask.scope.get("path"))
            page = Page(ask.id)
        try:
            self.send(page)
        except OSError:
            return  # The serving process is gone, and so are we.


class ServedElsewhere:
    """The serving process, as `models_app.live` asks it."""

    def loaded_models(self) -> frozenset[str]:
        try:
            return frozenset(questions.ask("loaded"))
        except NotServing:
            return frozenset()

    def catch_up(self) -> None:
        """Only acts change something, and they are done by the serving process."""

    def served(self) -> tuple[int, ConfigDocument] | None:
        return None


def live_models() -> dict[str, LiveModel] | None:
    """As the serving process tells it."""
    try:
        return msgspec.convert(questions.ask("live_models"), dict[str, LiveModel])
    except NotServing:
        return None


def miss_owner() -> None:
    """The page asked for the engines themselves, which are not here."""
    _page.lacks_owner = True


def connected(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(path)
    return connection


def main(path: str) -> None:
    os.nice(NICE)
    let_others_go_first(NICE)
    connections.settings["default"]["CONN_MAX_AGE"] = KEPT_SECONDS
    pages = Pages()
    link = Link(connected(path))
    questions.ask_elsewhere(link.ask)
    SERVING.when_absent = miss_owner
    live.register(ServedElsewhere())
    ADMIN.register(live_models, ADMIN.actions)
    gc.collect()
    gc.freeze()
    # A page leaves some thousand objects behind, hardly any of them in circles.
    gc.set_threshold(20_000, 20, 20)
    link.send(Hello(os.environ.pop(TOKEN, "")))
    link.serve(pages)


if __name__ == "__main__":
    main(sys.argv[1])
    os._exit(0)  # A thread may still wait for something; nobody wants its page any more.
