"""A registry for the API's tests, a client that checks shapes, and a worker."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from django.test import Client

from models_app import folders, hardware, scan_runs
from models_app.models import ModelFolder
from models_app.scan import scan
from tests.ggufs import write_reciter


class Api:
    """Sends JSON and gives the decoded answer, of which it checks the status."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def __call__(
        self, method: str, path: str, body: Any = None, status: int = 200, **headers: str
    ) -> dict[str, Any]:
        kind = headers.pop("content_type", "application/json")
        send: Callable[..., Any] = getattr(self.client, method)
        if body is None and method == "get":
            reply = send(path, headers=headers)
        else:
            text = body if isinstance(body, str) else "" if body is None else json.dumps(body)
            reply = send(path, text, content_type=kind, headers=headers)
        assert reply.status_code == status, reply.content.decode()
        found: dict[str, Any] = json.loads(reply.content)
        if status >= 400:
            assert {"error", "details", "code"} <= found.keys()
            assert found["error"]
        return found


@pytest.fixture
def api(client: Client) -> Api:
    return Api(client)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture
def registry(models: Path, db: None) -> ModelFolder:
    """A folder with two models in it, one of them below."""
    write_reciter(models / "Fox-Instruct-f32.gguf", "Hello there.")
    (models / "below").mkdir()
    write_reciter(models / "below" / "sea-f32.gguf", "Hello there.")
    hardware.store(hardware.detect())
    folder = folders.add(models)
    scan([folder])
    return folder


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch, transactional_db: None) -> None:
    """A worker that does each scan the moment it is handed over."""

    def send_task(name: str, args: tuple[int]) -> None:
        scan_runs.perform(args[0])

    monkeypatch.setattr(current_app, "send_task", send_task)
