from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from downloads_app import orders, queue, work
from downloads_app.models import Download
from tests.ggufs import write_reciter
from tests.hub import Fault, Hub, running_hub

SENTENCE = "All that is fetched is here."


@pytest.fixture
def hub(settings: Any, tmp_path: Path) -> Iterator[Hub]:
    """A hub that the settings point to, and an empty download folder."""
    with running_hub() as running:
        settings.CLARACORE_HF_ENDPOINT = running.url
        settings.CLARACORE_HF_TOKEN = ""
        settings.CLARACORE_PRIVATE_HOSTS = ["127.0.0.1"]
        settings.CLARACORE_DOWNLOAD_HOSTS = []
        settings.CLARACORE_HOME = tmp_path / "home"
        yield running


@pytest.fixture
def reciter(tmp_path: Path) -> bytes:
    return write_reciter(tmp_path / "reciter.gguf", SENTENCE).read_bytes()


def placed(hub: Hub, path: str = "fox-q4_k_m.gguf", **values: Any) -> Download:
    """A download of one file of owner/repo that waits for a worker."""
    item = orders.Item(hub.file_url("owner/repo", path), values.pop("name", path))
    return orders.place(orders.Order([item], **values), hand_over=False)


def worked_off(download: Download) -> Download:
    """The download after a worker had it."""
    claimed = queue.claim(download.pk, "here:1:test")
    assert claimed is not None
    work.perform(claimed, patience=0.0)
    download.refresh_from_db()
    return download


def while_it_runs(hub: Hub, download: Download, act: Any) -> Download:
    """Work it off with a stalled store, and `act` once something arrived."""
    hub.faults.append(Fault("stall", -1, after=100_000))
    claimed = queue.claim(download.pk, "here:1:test")
    assert claimed is not None
    done: list[int] = []

    def listener(row: Download) -> None:
        if row.done_bytes and not done:
            done.append(1)
            act()

    work.perform(claimed, listener, patience=0.0)
    assert done
    hub.faults.clear()
    download.refresh_from_db()
    return download
