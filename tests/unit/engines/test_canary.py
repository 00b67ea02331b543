"""The trial run of a build: what passes, and what does not."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from models_app import canary_model
from models_app.engine_build import Located
from models_app.gguf import read_header
from proxy_app import canary
from proxy_app.canary import CanaryFailed, try_out
from proxy_app.guards import GuardPool
from tests.llama import binary

HELP = "echo '--ctx-size N   size of the context'"


@pytest_asyncio.fixture
async def guards() -> AsyncIterator[GuardPool]:
    pool = GuardPool()
    await pool.start()
    try:
        yield pool
    finally:
        await pool.aclose()


def script(folder: Path, serving: str, asked: str = HELP) -> Located:
    """A program that answers --help and the like with `asked`, and runs `serving` otherwise."""
    path = folder / "llama-server"
    path.write_text(
        f'#!/bin/sh\ncase "$1" in --help|--version|--list-devices) {asked}; exit 0;; esac\n'
        f"{serving}\n"
    )
    path.chmod(0o755)
    return Located(path, "a test")


async def test_the_real_engine_passes_and_leaves_nothing_behind(
    guards: GuardPool, tmp_path: Path
) -> None:
    program = binary()
    assert program is not None
    answers = await try_out(Located(program, "a test"), guards, tmp_path)
    assert "--ctx-size" in answers.flags
    assert list((tmp_path / "run").iterdir()) == []


async def test_it_tells_the_last_words_of_one_that_cannot_load_a_model(
    guards: GuardPool, tmp_path: Path
) -> None:
    located = script(tmp_path, "echo 'no usable GPU found' >&2; exit 3")
    with pytest.raises(CanaryFailed, match=r"exit code 3.*no usable GPU found"):
        await try_out(located, guards, tmp_path)


async def test_it_refuses_one_that_answers_wrongly(guards: GuardPool, tmp_path: Path) -> None:
    """As a GPU driver with broken arithmetic does: it runs, and what it says is nonsense."""
    server = tmp_path / "server.py"
    server.write_text(
        "import http.server, sys\n"
        "class Handler(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self): self.answer(b'{}')\n"
        '    def do_POST(self): self.answer(b\'{"content": "@@@@"}\')\n'
        "    def answer(self, body):\n"
        "        self.send_response(200)\n"
        "        self.send_header('Content-Length', str(len(body)))\n"
        "        self.end_headers()\n"
        "        self.wfile.write(body)\n"
        "port = int(sys.argv[sys.argv.index('--port') + 1])\n"
        "http.server.HTTPServer(('127.0.0.1', port), Handler).serve_forever()\n"
    )
    located = script(tmp_path, f'exec {sys.executable} {server} "$@"')
    with pytest.raises(CanaryFailed, match=r"answered '@@@@'.*another backend"):
        await try_out(located, guards, tmp_path)


async def test_a_new_build_sees_no_secret_of_the_server(
    guards: GuardPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was just fetched, and nobody knows yet what it does."""
    for name in ("CLARACORE_SECRET_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "hush")
    asked, serving = tmp_path / "asked", tmp_path / "serving"
    located = script(tmp_path, f"env > {serving}; exit 3", f"env >> {asked}; {HELP}")
    with pytest.raises(CanaryFailed, match="exit code 3"):
        await try_out(located, guards, tmp_path)
    for seen in (asked.read_text(), serving.read_text()):
        assert "PATH=" in seen and "=hush" not in seen


async def test_it_refuses_what_is_no_llama_server(guards: GuardPool, tmp_path: Path) -> None:
    with pytest.raises(CanaryFailed, match="not as llama-server does"):
        await try_out(script(tmp_path, "exit 0", "echo hello"), guards, tmp_path)
    with pytest.raises(CanaryFailed):
        await try_out(Located(tmp_path / "nothing", "a test"), guards, tmp_path)


async def test_it_does_not_wait_for_ever(
    guards: GuardPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canary, "READY_SECONDS", 0.3)
    with pytest.raises(CanaryFailed, match="not ready"):
        await try_out(script(tmp_path, "exec sleep 600"), guards, tmp_path)


def test_the_trial_model_is_a_good_gguf_file(tmp_path: Path) -> None:
    header = read_header(canary_model.write(tmp_path / "trial.gguf"))
    assert header.metadata["general.architecture"] == "llama"
