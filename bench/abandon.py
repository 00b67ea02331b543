"""How long an engine works on for somebody who left.

    python -m bench.abandon [--model FILE.gguf] [--tries 20]

A client asks for a long answer through us and closes its connection, in the middle of a stream or
while it waits for a whole answer. Printed is the time until the engine says, asked directly every
ten milliseconds, that none of its slots has work. Exits with 1 when a stream took longer than was
promised.
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import statistics
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import requests

from tests.ggufs import write_reciter
from tests.server import RunningServer, running_server

LIMIT_SECONDS = 0.5
LOOK_SECONDS = 0.01
GIVE_UP_SECONDS = 60.0
SENTENCE = "The quick brown fox jumps over the lazy dog."
MESSAGES = [{"role": "user", "content": "Tell me a story that never ends."}]


class Engine:
    """The engine of one model, as the server shows it."""

    def __init__(self, server: RunningServer, model: str) -> None:
        self.server = server
        self.model = model
        self._session = requests.Session()

    def is_busy(self) -> bool:
        address = f"{self.server.url}/slots?model={self.model}"
        return any(slot["is_processing"] for slot in self._session.get(address, timeout=60).json())

    def seconds_until(self, busy: bool) -> float:
        """Until it has work, or none; infinite when that takes very long."""
        began = time.monotonic()
        while self.is_busy() is not busy:
            if time.monotonic() - began > GIVE_UP_SECONDS:
                return float("inf")
            time.sleep(LOOK_SECONDS)
        return time.monotonic() - began

    def ask(self, *, stream: bool) -> socket.socket:
        """A connection on which a long answer was asked for."""
        asked = {"model": self.model, "stream": stream, "max_tokens": 30000, "messages": MESSAGES}
        body = json.dumps(asked)
        address = urlsplit(self.server.url)
        assert address.hostname is not None
        client = socket.create_connection((address.hostname, address.port or 80), timeout=60)
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {address.netloc}\r\n"
        client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        return client


def until_idle(engine: Engine, *, stream: bool) -> float:
    """Seconds from the client's leaving to an engine without work."""
    client = engine.ask(stream=stream)
    if stream:
        client.recv(64)
    engine.seconds_until(True)
    client.close()
    return engine.seconds_until(False)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="instead of a tiny one that recites a sentence")
    parser.add_argument("--tries", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "endless-f32.gguf"
        if options.model:
            shutil.copyfile(options.model, target)
        else:
            write_reciter(target, SENTENCE, endless=True, context_length=65536)
        with running_server(Path(folder)) as server:
            server.wait_for_models("endless")
            engine = Engine(server, "endless")
            until_idle(engine, stream=True)  # It loads first.
            streams = [until_idle(engine, stream=True) for _ in range(options.tries)]
            wholes = [until_idle(engine, stream=False) for _ in range(max(1, options.tries // 4))]
    for what, took in (("streams", streams), ("whole answers", wholes)):
        print(
            f"{what:14} {len(took):3} left; idle after {statistics.median(took):.2f} s (median), "
            f"{max(took):.2f} s (most)"
        )
    return 0 if max(streams) <= LIMIT_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
