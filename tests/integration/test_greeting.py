from __future__ import annotations

from pathlib import Path

import pytest

from models_app import folders
from models_app.scan import scan
from proxy_app import greeting
from tests.ggufs import write_reciter

pytestmark = pytest.mark.django_db


def test_a_start_without_a_scan_names_what_is_known_already(tmp_path: Path) -> None:
    write_reciter(tmp_path / "fox.gguf", "Hello there.")
    (tmp_path / "broken.gguf").write_bytes(b"GGUF")
    scan([folders.add(tmp_path)])
    said: list[str] = []

    greeting.announce_scan_when_done(said.append)

    (text,) = said
    assert text.startswith("Serving 1 model:\n  fox  (F32, ")
    assert "not served: broken.gguf: " in text


def test_a_start_with_nothing_says_how_to_get_models() -> None:
    said: list[str] = []
    greeting.announce_scan_when_done(said.append)
    assert said == []
    text = greeting.opening("127.0.0.1", 5800)
    assert "make run MODELS=/path/to/folder" in text
    assert "make demo" in text
