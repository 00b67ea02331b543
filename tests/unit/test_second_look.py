"""Models that were made a moment ago, before the server noticed by itself."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from models_app.document import ConfigDocument, ModelEntry
from proxy_app.gateway import Gateway
from proxy_app.lineup import Lineup, line_up
from proxy_app.runner import Runner


class Server:
    """A line-up that gets a model when somebody looks again."""

    def __init__(self, tmp_path: Path, *, looks: bool) -> None:
        self.looked = 0
        self._looks = looks
        self._runner = SimpleNamespace(lineup=Lineup())
        self._gateway = Gateway(
            cast(Runner, self._runner), tmp_path, cast(Any, None), self._look_again
        )

    async def _look_again(self) -> bool:
        self.looked += 1
        if self._looks:
            entry = ModelEntry("new", cmd="engine --port ${PORT}")
            self._runner.lineup = line_up(ConfigDocument(models={"new": entry}))
        return self._looks

    async def get(self, name: str) -> tuple[int, dict[str, Any]]:
        sent: list[dict[str, Any]] = []

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        path = f"/v1/models/{name}"
        scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": []}
        await self._gateway(scope, cast(Any, None), cast(Any, send))
        body = b"".join(message.get("body", b"") for message in sent)
        return sent[0]["status"], json.loads(body)


async def test_it_looks_again_before_it_says_that_there_is_no_such_model(tmp_path: Path) -> None:
    server = Server(tmp_path, looks=True)
    status, body = await server.get("new")
    assert (status, body["id"], server.looked) == (200, "new", 1)
    assert (await server.get("new"))[0] == 200
    assert server.looked == 1
    status, body = await server.get("other")
    assert (status, body["error"]["code"]) == (404, "model_not_found")


async def test_what_was_looked_for_just_now_is_not_found(tmp_path: Path) -> None:
    server = Server(tmp_path, looks=False)
    assert (await server.get("new"))[0] == 404
    assert server.looked == 1
