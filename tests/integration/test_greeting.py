from __future__ import annotations

from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

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


@pytest.mark.parametrize(
    ("host", "names", "place"),
    [
        ("127.0.0.1", ["llm.lan"], "127.0.0.1"),
        ("0.0.0.0", [], "localhost"),
        ("::", [], "localhost"),
        ("0.0.0.0", ["llm.lan", "192.168.1.20"], "llm.lan"),
        ("192.168.1.20", ["llm.lan", "192.168.1.20"], "192.168.1.20"),
        ("192.168.1.20", ["llm.lan"], "llm.lan"),
        ("FD00::1", ["llm.lan", "[fd00::1]"], "[FD00::1]"),
        ("192.168.1.20", [], "192.168.1.20"),
    ],
)
def test_the_links_lead_to_a_name_that_is_answered(
    host: str, names: list[str], place: str, settings: Settings
) -> None:
    settings.ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]", *names]
    assert f"http://{place}:5800/ui/" in greeting.opening(host, 5800)
    invited = greeting.first_administrator(host, 5800, "token")
    assert f"http://{place}:5800/ui/welcome/token/" in invited
    assert ("CLARACORE_ALLOWED_HOSTS" in invited) == (not names)
