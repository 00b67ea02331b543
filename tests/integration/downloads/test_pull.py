"""`manage.py pull`."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from downloads_app import queue
from downloads_app.models import Download
from tests.hub import Fault, Hub

pytestmark = pytest.mark.django_db


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def pull(*arguments: str, out: Any = None) -> str:
    out = out or StringIO()
    call_command("pull", *arguments, stdout=out)
    return str(out.getvalue())


def test_it_fetches_what_most_people_want_and_serves_it(hub: Hub, reciter: bytes) -> None:
    hub.add("owner/fox", {"fox-BF16.gguf": reciter[::-1], "fox-Q4_K_M.gguf": reciter})
    terminal = Terminal()
    said = pull("owner/fox", out=terminal)
    assert "Served as fox or fox-q4-k-m or owner/fox." in said
    assert "fox-Q4_K_M.gguf to " in said and "%" in said
    download = Download.objects.get()
    assert (Path(download.folder) / "fox-Q4_K_M.gguf").read_bytes() == reciter


def test_it_fetches_the_quantization_that_is_named(hub: Hub, reciter: bytes) -> None:
    hub.add("owner/fox", {"fox-Q8_0.gguf": reciter, "fox-Q4_K_M.gguf": reciter[::-1]})
    assert "Served as" in pull("owner/fox:Q8_0", "--id", "mine")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("owner/none", "no such repository"),
        ("nonsense", "not a repository"),
        ("owner/fox:Q2_K", "it has Q4_K_M"),
        ("owner/empty", "no whole GGUF model"),
    ],
)
def test_what_is_not_there_is_said(hub: Hub, reciter: bytes, name: str, words: str) -> None:
    hub.add("owner/fox", {"fox-Q4_K_M.gguf": reciter})
    hub.add("owner/empty", {"README.md": b"", "big-00001-of-00002.gguf": reciter})
    with pytest.raises(CommandError, match=words):
        pull(name)


def test_it_goes_on_after_a_failure(hub: Hub, reciter: bytes) -> None:
    hub.add("owner/fox", {"fox-Q4_K_M.gguf": reciter})
    hub.faults.append(Fault("status", 1, status=404, probe=True))
    with pytest.raises(CommandError, match="no such file"):
        pull("owner/fox")
    hub.faults.clear()
    assert "Served as" in pull("owner/fox")


def test_it_leaves_a_download_to_the_worker_that_has_it(hub: Hub, reciter: bytes) -> None:
    hub.add("owner/fox", {"fox-Q4_K_M.gguf": reciter})
    hub.faults.append(Fault("status", -1, status=404, probe=True))
    with pytest.raises(CommandError):
        pull("owner/fox")
    hub.faults.clear()
    row = Download.objects.get()
    Download.objects.update(status=Download.Status.PENDING)
    assert queue.claim(row.pk, "elsewhere:1:x")
    with pytest.raises(CommandError, match="A worker fetches it already"):
        pull("owner/fox")
