"""A model that does not fit is tried smaller, while whoever asked for it waits."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from bench.families import Numbers, build
from bench.sparse_gguf import write
from models_app.engine_build import locate
from tests.server import ROOT, RunningServer, clean_environment, new_home, running_server

pytestmark = pytest.mark.engine

LIMIT_KIB = 2 * 1024 * 1024
NUMBERS = Numbers("thirsty", "llama", "", 12, 512, 4096, 131072, 8, 8, 64, 1536)
WISH = (
    "from models_app.models import ServerSettings as S; "
    "S.objects.update_or_create(pk=1, defaults={'preferred_context': 131072, 'ram_gb': 16})"
)


def manage(home: Path, *arguments: str) -> None:
    subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=clean_environment(home),
        check=True,
        timeout=120,
        capture_output=True,
    )


def ask(server: RunningServer) -> requests.Response:
    body = {"model": "thirsty", "prompt": "x", "max_tokens": 1}
    return requests.post(f"{server.url}/v1/completions", json=body, timeout=300)


def context(server: RunningServer) -> int:
    text = (server.home / "config.yaml").read_text()
    found = re.search(r"--ctx-size (\d+)", text)
    assert found is not None
    return int(found[1])


def test_the_request_is_answered_by_the_rung_that_fits_and_the_rung_is_kept(
    tmp_path: Path,
) -> None:
    found = locate()
    assert found is not None
    limited = tmp_path / "llama-server"
    limited.write_text(f'#!/bin/sh\nulimit -v {LIMIT_KIB}\nexec "{found.path}" "$@"\n')
    limited.chmod(0o755)
    (tmp_path / "models").mkdir()
    write(tmp_path / "models" / "thirsty.gguf", build(NUMBERS))
    home = new_home(tmp_path / "home")
    manage(home, "shell", "-c", WISH)
    environment = {"CLARACORE_LLAMA_SERVER": str(limited)}
    with running_server(tmp_path / "models", home=home, env=environment) as server:
        server.wait_for_models("thirsty")
        assert context(server) == 131072
        reply = ask(server)
        assert reply.status_code == 200, reply.text
        assert "is tried again with less" in server.said()
        kept = context(server)
    with running_server(tmp_path / "models", home=home, env=environment) as server:
        server.wait_for_models("thirsty")
        assert context(server) <= kept
        assert ask(server).status_code == 200
        assert "ran out of memory" not in server.said()
