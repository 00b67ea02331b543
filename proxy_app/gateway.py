"""The gateway: the ASGI app under /v1 and the llama-server paths.

A request walks through here without touching the database: its model's name is read from the
body, the runner grants an engine, the answer streams back as it comes. It is a plain ASGI app
because both Django's handler (which spools bodies to disk) and Channels' HTTP consumer (which
keeps sending after the client left) would stand in the way.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from urllib.parse import unquote

from proxy_app import listing
from proxy_app.bodies import model_of, read_head, rewrite
from proxy_app.errors import AnswerCut, GatewayError, InvalidRequest, MethodNotAllowed, PathNotFound
from proxy_app.forward import answer, answer_error, answer_json, forward
from proxy_app.incoming import ClientLeft, ClientWatch, Receive, Scope, Send, read_body
from proxy_app.lineup import Served
from proxy_app.runner import Runner

logger = logging.getLogger(__name__)

Handler = Callable[[Scope, Receive, Send], Awaitable[None]]

INFERENCE_PATHS = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/completion",
)

PATHS = r"^/?(v1|completion|upstream|running|unload|health)(/|$)"
"""What the router sends here."""


class Gateway:
    """Answers inference requests with the engines of one runner."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._started = int(time.time())
        self._handlers: dict[str, tuple[str, Handler]] = {
            **dict.fromkeys(INFERENCE_PATHS, ("POST", self._infer)),
            "/v1/models": ("GET", self._models),
            "/running": ("GET", self._running),
            "/unload": ("GET", self._unload),
            "/health": ("GET", self._health),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._dispatch(scope, receive, send)
        except GatewayError as error:
            await answer_error(send, error)
        except AnswerCut as error:
            # Returning without the last piece makes the server close the connection.
            logger.warning("An answer was cut off: %s", error)
        except ClientLeft:
            pass

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        handler = self._handlers.get(path) or self._handlers.get(path.rstrip("/"))
        if handler is None:
            if path.startswith("/upstream/"):
                await self._upstream(scope, receive, send)
                return
            if path.startswith("/v1/models/"):
                await self._model(scope, send)
                return
            raise PathNotFound(path)
        method, act = handler
        # The server sends no body after HEAD. What has an effect is not for asking.
        asks = scope["method"] == "HEAD" and method == "GET" and act != self._unload
        if scope["method"] != method and not asks:
            raise MethodNotAllowed(scope["method"], path, method)
        await act(scope, receive, send)

    # ---- Inference -----------------------------------------------------------------------

    async def _infer(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(receive)
        served = self._runner.lineup.resolve(model_of(read_head(body)))
        if served.rewrite:
            body = rewrite(body, served.rewrite)
        target = scope["raw_path"].rstrip(b"/")
        await self._serve(served, scope, target, body, receive, send)

    async def _upstream(self, scope: Scope, receive: Receive, send: Send) -> None:
        served, rest = self._split_upstream(scope["raw_path"])
        body = await read_body(receive)
        await self._serve(served, scope, rest, body, receive, send)

    async def _serve(
        self,
        served: Served,
        scope: Scope,
        target: bytes,
        body: bytes,
        receive: Receive,
        send: Send,
    ) -> None:
        if scope["query_string"]:
            target = target + b"?" + scope["query_string"]
        with ClientWatch(receive), await self._runner.acquire(served.entry.model_id) as lease:
            await forward(lease.engine, scope, target, body, send)

    def _split_upstream(self, raw_path: bytes) -> tuple[Served, bytes]:
        """The model and the path at its engine. Ids may hold slashes; the shortest id wins."""
        segments = raw_path.split(b"/")[2:]
        names = self._runner.lineup.names
        name = ""
        for index, segment in enumerate(segments):
            name = (
                f"{name}/{unquote(segment.decode('latin-1'))}"
                if index
                else unquote(segment.decode("latin-1"))
            )
            if name in names:
                return self._runner.lineup.resolve(name), b"/" + b"/".join(segments[index + 1 :])
        if not segments or not segments[0]:
            raise InvalidRequest(
                "The path names no model. Use /upstream/<model>/<path at its engine>."
            )
        return self._runner.lineup.resolve(unquote(segments[0].decode("latin-1"))), b"/"

    # ---- Small answers -------------------------------------------------------------------

    async def _models(self, scope: Scope, receive: Receive, send: Send) -> None:
        await answer_json(send, listing.models(self._runner.lineup, self._started))

    async def _model(self, scope: Scope, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            raise MethodNotAllowed(scope["method"], scope["path"], "GET")
        name = scope["path"].removeprefix("/v1/models/").rstrip("/")
        served = self._runner.lineup.resolve(name)
        await answer_json(send, listing.model(served.entry, self._started))

    async def _running(self, scope: Scope, receive: Receive, send: Send) -> None:
        await answer_json(send, listing.running(self._runner))

    async def _unload(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._runner.unload()
        await answer(send, 200, b"OK", b"text/plain; charset=utf-8")

    async def _health(self, scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, 200, b"OK", b"text/plain; charset=utf-8")
