"""uvicorn's HTTP/1.1 protocol with what it lacks for a server that faces any client."""

from __future__ import annotations

import re

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 64 * 1024
"""Request line and headers together. More is refused: a larger head only costs time."""

_OTHER_PROTOCOL = re.compile(rb"\r\nupgrade:(?![ \t]*websocket)[^\r\n]*", re.IGNORECASE)


class Protocol(HttpToolsProtocol):
    """Bounds the head, and lets offers of other protocols pass unanswered.

    A client may offer HTTP/2 with its request (Java's does so by default). The parser would
    then take the body for the other protocol's and drop it, so the offer is taken out.
    """

    _in_head = True
    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and b"\r\n\r\n" not in data[:MAX_HEAD_BYTES]:
                self.send_400_response("The headers are longer than this server takes.")
                return
            if b"pgrade" in data:
                data = _without_other_protocols(data)
        super().data_received(data)

    def on_message_begin(self) -> None:
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head, self._head_bytes = True, 0
        super().on_message_complete()


def _without_other_protocols(data: bytes) -> bytes:
    head, blank, body = data.partition(b"\r\n\r\n")
    return _OTHER_PROTOCOL.sub(b"", head) + blank + body
