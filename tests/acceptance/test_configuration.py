"""config.yaml of a running server: edited, spoilt, mended, and the settings in it that act."""

from __future__ import annotations

import json
import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.server import ROOT, RunningServer, free_port, running_server, wait_until

ENGINE = f"{sys.executable} -m tests.fake_engine --port ${{PORT}}"
CONFIG = f"""
macros: {{engine: "{ENGINE}"}}
models:
  one:
    cmd: ${{engine}}
    env: ["PYTHONPATH={ROOT}"]
  grouped:
    cmd: ${{engine}}
    env: ["PYTHONPATH={ROOT}"]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    config = tmp_path_factory.mktemp("config") / "mine.yaml"
    config.write_text(CONFIG)
    with running_server(arguments=["--config", str(config)]) as running:
        running.wait_for_models("one", "grouped")
        yield running


def file_of(server: RunningServer) -> Path:
    file = server.home / "config.yaml"
    wait_until(file.exists, "config.yaml", server.said)
    return file


def edit(server: RunningServer, pattern: str, new: str) -> str:
    """Replace what matches once in the file, in the way an editor saves."""
    file = file_of(server)
    text, count = re.subn(pattern, lambda match: new, file.read_text(), count=1, flags=re.MULTILINE)
    assert count == 1, file.read_text()
    temporary = file.with_name("editing.tmp")
    temporary.write_text(text)
    temporary.replace(file)
    return text


def port_of(server: RunningServer, model: str) -> int:
    """The port of a model's engine, once it is loaded."""
    body = {"model": model, "messages": []}
    reply = requests.post(f"{server.url}/v1/chat/completions", json=body, timeout=60)
    assert reply.ok, reply.text
    entries = [
        json.loads(path.read_text()) for path in (server.home / "run/engines").glob("*.json")
    ]
    (port,) = [entry["port"] for entry in entries if entry["model_id"] == model]
    return int(port)


def setting(server: RunningServer, column: str) -> Any:
    with closing(sqlite3.connect(server.home / "claracore.sqlite3")) as database:
        rows = database.execute(f"SELECT {column} FROM models_app_serversettings").fetchall()
    return rows[0][0]


def taken(server: RunningServer) -> int:
    """How many edits the log says were taken in."""
    return server.said().count("was edited by hand and is taken in")


def set_ttl(server: RunningServer, seconds: int) -> None:
    edit(server, "^globalTTL: .*$", f"globalTTL: {seconds}")
    wait_until(lambda: setting(server, "default_ttl") == seconds, "the edit", server.said)


def test_a_model_written_into_the_file_is_served_and_the_text_stays(server: RunningServer) -> None:
    text = edit(server, "^models:$", 'models:\n  # for tea\n  written:\n    cmd: "${engine}"')
    server.wait_for_models("one", "grouped", "written")
    assert file_of(server).read_text() == text
    assert "was edited by hand and is taken in" in server.said()


def test_a_spoilt_file_is_complained_about_left_alone_and_taken_in_once_mended(
    server: RunningServer,
) -> None:
    text = edit(server, "^startPort: .*$", "startPort: eight")
    complaint = "config.yaml was edited and cannot be used"
    wait_until(lambda: complaint in page(server), "the notice", server.said)
    assert "`startPort` must be a whole number" in page(server)
    assert "cannot be used, so it is left alone: line" in server.said()
    assert file_of(server).read_text() == text
    assert {"one", "grouped"} <= set(server.models())
    edit(server, "^startPort: .*$", "startPort: 8100")
    wait_until(lambda: "cannot be used" not in page(server), "the notice to go", server.said)


def page(server: RunningServer) -> str:
    return requests.get(f"{server.url}/ui/", timeout=30).text


def test_the_log_level_acts_at_once(server: RunningServer) -> None:
    edit(server, "^logLevel: .*$", "logLevel: debug")
    wait_until(lambda: "[DEBUG] The configuration holds" in server.said(), "it", server.said)
    before = taken(server)
    edit(server, "^logLevel: .*$", "logLevel: error")
    wait_until(lambda: setting(server, "log_level") == "error", "the edit", server.said)
    set_ttl(server, 1234)
    edit(server, "^logLevel: .*$", "logLevel: info")
    wait_until(lambda: setting(server, "log_level") == "info", "the edit", server.said)
    set_ttl(server, 1235)
    # Of four edits the first was still told of, and the last is again.
    wait_until(lambda: taken(server) >= before + 2, "the last one's line", server.said)
    assert taken(server) == before + 2


def test_ports_start_where_the_server_and_the_groups_say(server: RunningServer) -> None:
    first, second = sorted((free_port(), free_port()))
    edit(server, "^startPort: .*$", f"startPort: {first}")
    wait_until(lambda: setting(server, "start_port") == first, "the edit", server.said)
    group = f"groups:\n  side:\n    members: [grouped]\n    startPort: {second}\nmodels:"
    edit(server, "^models:$", group)
    set_ttl(server, second)  # taken in after the group
    assert first <= port_of(server, "one") < first + 200
    assert second <= port_of(server, "grouped") < second + 200
