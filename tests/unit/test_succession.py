"""What two servers that follow each other say."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
from collections.abc import Iterator

import pytest

from proxy_app.predecessor import READY, SERVING, Predecessor


class Before:
    """The server before us, as far as it talks."""

    def __init__(self) -> None:
        self.socket, theirs = socket.socketpair()
        self.next = Predecessor(theirs.detach(), os.dup(2))

    def says(self, **message: object) -> None:
        self.socket.sendall(json.dumps(message).encode() + b"\n")


@pytest.fixture
def before() -> Iterator[Before]:
    before = Before()
    yield before
    before.socket.close()
    before.next.close()


def relieve(before: Before, **busy: int) -> None:
    relieving = threading.Thread(target=before.next.relieve)
    relieving.start()
    assert before.socket.recv(100) == READY
    before.says(busy=busy)
    relieving.join()


def test_the_next_server_waits_until_it_may_take_over(before: Before) -> None:
    relieve(before, one=2, two=1)
    assert before.next.busy == {"one": 2, "two": 1}
    before.next.tell_serving()
    assert before.socket.recv(100) == SERVING


def test_it_ends_quietly_when_the_server_before_it_ends_without_it(before: Before) -> None:
    before.socket.close()
    with pytest.raises(SystemExit) as end:
        before.next.relieve()
    assert end.value.code == 0


async def test_it_hears_of_each_request_that_ends_and_of_the_rest_at_the_end(
    before: Before,
) -> None:
    relieve(before, one=2, two=1)
    done: asyncio.Queue[str] = asyncio.Queue()
    before.says(done="one")
    following = asyncio.create_task(before.next.follow(done.put_nowait))
    assert await done.get() == "one"
    assert done.empty()
    before.socket.close()
    await following
    assert sorted([await done.get(), await done.get()]) == ["one", "two"]
    assert done.empty()
