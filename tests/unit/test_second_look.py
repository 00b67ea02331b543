"""Models that were made a moment ago, before the server noticed by itself."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from django.db import OperationalError

from models_app.document import ConfigDocument, ModelEntry
from proxy_app.gateway import Gateway
from proxy_app.key_guard import CALLER
from proxy_app.keys import LOCAL
from proxy_app.lineup import Lineup, line_up
from proxy_app.runner import Runner
from proxy_app.second_look import SecondLook


class Server:
    """A line-up that gets a model when somebody looks again."""

    def __init__(self, tmp_path: Path, *, has_more: bool) -> None:
        self.looked = 0
        self._has_more = has_more
        self._runner = SimpleNamespace(lineup=Lineup())
        self._gateway = Gateway(
            cast(Runner, self._runner), tmp_path, cast(Any, None), self._look_again
        )

    async def _look_again(self) -> None:
        self.looked += 1
        if self._has_more:
            entry = ModelEntry("new", cmd="engine --port ${PORT}")
            self._runner.lineup = line_up(ConfigDocument(models={"new": entry}))

    async def get(self, name: str) -> tuple[int, dict[str, Any]]:
        sent: list[dict[str, Any]] = []

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        path = f"/v1/models/{name}"
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "query_string": b"",
            "headers": [],
            CALLER: LOCAL,
        }
        await self._gateway(scope, cast(Any, None), cast(Any, send))
        body = b"".join(message.get("body", b"") for message in sent)
        return sent[0]["status"], json.loads(body)


async def test_it_looks_again_before_it_says_that_there_is_no_such_model(tmp_path: Path) -> None:
    server = Server(tmp_path, has_more=True)
    status, body = await server.get("new")
    assert (status, body["id"], server.looked) == (200, "new", 1)
    assert (await server.get("new"))[0] == 200
    assert server.looked == 1
    status, body = await server.get("other")
    assert (status, body["error"]["code"]) == (404, "model_not_found")


async def test_what_is_not_there_at_the_second_look_is_not_found(tmp_path: Path) -> None:
    server = Server(tmp_path, has_more=False)
    assert (await server.get("new"))[0] == 404
    assert server.looked == 1


class Book:
    """What is looked at; a look can be held up in its middle."""

    def __init__(self) -> None:
        self.text = ""
        self.looks = 0
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        self.read = ""

    async def look(self) -> None:
        self.looks += 1
        self.read = self.text
        await self.goes_on.wait()


async def test_many_share_one_look() -> None:
    book = Book()
    look = SecondLook(book.look)
    await asyncio.gather(*(look() for _ in range(100)))
    assert book.looks == 1
    await look()
    assert book.looks == 2


async def test_a_look_that_has_begun_is_not_shared() -> None:
    book = Book()
    look = SecondLook(book.look)
    book.goes_on.clear()
    first = asyncio.ensure_future(look())
    while not book.looks:
        await asyncio.sleep(0)
    book.text = "written after the first look read"
    second = asyncio.ensure_future(look())
    await asyncio.sleep(0)
    book.goes_on.set()
    await asyncio.gather(first, second)
    assert (book.looks, book.read) == (2, book.text)


async def test_a_look_that_fails_is_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise OperationalError("the disk is full")

    await SecondLook(fail)()
    assert "could not be read" in caplog.text
