from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from typing import Any

import pytest

from tests.server import ROOT, RunningServer, clean_environment

pytestmark = pytest.mark.engine


def command(server: RunningServer, *more: str) -> list[str]:
    return [sys.executable, "manage.py", "top", "--url", server.url, *more]


def run(server: RunningServer, *more: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(server, *more),
        cwd=ROOT,
        env=clean_environment(server.home, env),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_it_prints_plain_text_where_no_terminal_is(server: RunningServer, client: Any) -> None:
    client.completions.create(model="fox", prompt="Go on")
    done = run(server)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    rows = {line.split("\t")[0]: line.split("\t") for line in done.stdout.splitlines()}
    assert rows["fox"][1] == "ready"
    assert int(rows["fox"][6]) >= 1
    assert rows["letters"][0] == "letters"


def test_it_draws_in_a_terminal_until_it_is_stopped(server: RunningServer) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command(server, "--interval", "0.2"),
        cwd=ROOT,
        env=clean_environment(server.home, {"TERM": "xterm", "COLUMNS": "140", "LINES": "50"}),
        stdout=theirs,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
    )
    os.close(theirs)
    seen = b""
    try:
        while b"Requests" not in seen or b"letters" not in seen:
            seen += os.read(ours, 65536)
    finally:
        process.send_signal(signal.SIGINT)
    _drain(ours)
    assert process.wait(timeout=60) == 0
    assert b"models loaded" in seen


def _drain(terminal: int) -> None:
    """So that the other side is not held up by what nobody reads."""
    try:
        while os.read(terminal, 65536):
            pass
    except OSError:
        os.close(terminal)


def test_it_says_what_to_do_when_nobody_answers(server: RunningServer) -> None:
    done = run(server, "--url", "http://127.0.0.1:9")
    assert done.returncode == 1
    assert "--url" in done.stderr
