"""The server before us, which still serves while we come up.

We say READY when we could take over. It then stops taking connections, lets its engines go, and
says how many requests it still has at each model's engine:

    {"busy": {"<model>": n}}
    {"done": "<model>"}

the second each time when one of them ended; until then that engine is not ours alone. We say
SERVING when we serve. It ends when its last answer has been sent, and so does the channel.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

READY = b"ready"
SERVING = b"serve"
"""As long as READY."""


class Predecessor:
    """Our end of the channel."""

    def __init__(self, channel: int, console: int) -> None:
        self._socket = socket.socket(fileno=channel)
        self._console = console
        self._received = b""
        self.busy: Counter[str] = Counter()
        """Its requests at engines that are ours now, by model."""

    def relieve(self) -> None:
        """Take over as soon as it lets go. Blocks; ends this process when it does not."""
        with suppress(ConnectionError):
            self._socket.sendall(READY)
        os.dup2(self._console, 2)
        os.close(self._console)
        while b"\n" not in self._received:
            if not (data := self._socket.recv(65536)):
                sys.exit(0)  # It has ended, and whoever ended it does not expect us.
            self._received += data
        line, self._received = self._received.split(b"\n", 1)
        self.busy.update(json.loads(line)["busy"])

    def close(self) -> None:
        """Say and hear no more."""
        self._socket.close()

    def tell_serving(self) -> None:
        """Let it know that we serve."""
        with suppress(OSError):
            self._socket.sendall(SERVING)

    async def follow(self, done: Callable[[str], None]) -> None:
        """Tell of each of its requests that ends, and of all that are left when it does."""
        reader, writer = await asyncio.open_unix_connection(sock=self._socket)
        try:
            while True:
                *lines, self._received = self._received.split(b"\n")
                for line in lines:
                    self._ended(json.loads(line)["done"], done)
                if not (data := await reader.read(65536)):
                    break
                self._received += data
        except ConnectionError:
            pass
        finally:
            writer.close()
        for model in list(self.busy.elements()):
            self._ended(model, done)

    def _ended(self, model: str, done: Callable[[str], None]) -> None:
        self.busy[model] -= 1
        done(model)
