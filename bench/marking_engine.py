"""An engine that marks what happens to it, in nanoseconds since 1970, for bench/swap.py.

Healthy at once, answers every request with the same few bytes, ends on SIGTERM.
"""

from __future__ import annotations

import select
import signal
import socket
import sys
import time
from types import FrameType

BODY = b'{"choices":[{"message":{"content":"ok"}}],"object":"chat.completion"}'


def main(marks: str, port: int) -> None:
    with open(marks, "a", buffering=1) as file:

        def mark(event: str) -> None:
            file.write(f"{event} {time.time_ns()}\n")

        def end(number: int, frame: FrameType | None) -> None:
            mark("told-to-stop")
            mark("ended")
            sys.exit(0)

        signal.signal(signal.SIGTERM, end)
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", port))
            listener.listen(64)
            serve(listener, mark)


def serve(listener: socket.socket, mark: object) -> None:
    assert callable(mark)
    connections = [listener]
    while True:
        for ready in select.select(connections, [], [])[0]:
            if ready is listener:
                connections.append(listener.accept()[0])
                continue
            try:
                data = ready.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                connections.remove(ready)
                ready.close()
                continue
            health = data.startswith(b"GET /health")
            if not health:
                mark("request")
            ready.sendall(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                b"content-length: %d\r\n\r\n%b" % (len(BODY), BODY)
            )
            if health:
                mark("healthy")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
