"""What a scan of many files costs, first and again, and our reader against the `gguf` package's.

    python -m bench.scan [--files 1000] [--sample 5] [--folder FOLDER]

Writes that many models of published shapes into FOLDER (a temporary one unless given), each with a
vocabulary of 131,072 tokens, their types and as many merges. A header is made once for each of a
few shapes; every file is then a copy of one with another name in it, and its weights are a hole.
Prints the time of the first scan and of the next one, database included, and what the `gguf`
package takes to open each of a sample of the same files. The files were just written, so all of
them are read from the page cache. Only the ratios say anything about another machine.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

import django

from bench.families import build
from bench.shapes import FITTED, HELD_OUT
from bench.sparse_gguf import Value, header_bytes

TOKENS: Final = 131_072
SHAPES: Final = ("Llama 3.1 8B", "Qwen3 8B", "Qwen3 30B-A3B", "Gemma 3 12B")
ASKED_READER: Final = 200
ASKED_RESCAN: Final = 20


def headers() -> Iterator[tuple[bytes, int, bytes]]:
    """For each shape its header, the size of its file and the name to be replaced in it."""
    known = {numbers.name: numbers for numbers in (*FITTED, *HELD_OUT)}
    for name in SHAPES:
        model = build(replace(known[name], vocabulary=TOKENS))
        tokens = model.metadata["tokenizer.ggml.tokens"]
        assert isinstance(tokens, list)
        kinds = [1] * len(tokens)
        merges = [f"to ken{number:x}" for number in range(len(tokens))]
        more: dict[str, Value] = {
            "tokenizer.ggml.token_type": kinds,
            "tokenizer.ggml.merges": merges,
        }
        mark = f"{name:24.24}"
        header, size = header_bytes(replace(model, name=mark, metadata={**model.metadata, **more}))
        yield header, size, mark.encode()


def write_files(folder: Path, count: int) -> list[Path]:
    """Write `count` files, of the shapes by turns, each with a name of its own."""
    kinds = list(headers())
    paths = []
    for number in range(count):
        header, size, mark = kinds[number % len(kinds)]
        path = folder / f"{number % 40:02d}" / f"model-{number:04d}-q8_0.gguf"
        path.parent.mkdir(exist_ok=True)
        with path.open("wb") as file:
            file.write(header.replace(mark, f"Model {number:018d}".encode(), 1))
            file.truncate(size)
        paths.append(path)
    return paths


@contextmanager
def product(home: Path) -> Iterator[None]:
    """The product's code on an empty database below `home`."""
    os.environ["CLARACORE_HOME"] = str(home)
    os.environ["DJANGO_SETTINGS_MODULE"] = "claracore_site.settings"
    django.setup()
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", verbosity=0)
    try:
        yield
    finally:
        connection.close()


def scan_times(folder: Path, count: int) -> tuple[float, float]:
    """Seconds of the first scan and the median of three more. Checks that all were read once."""
    from models_app import folders
    from models_app.models import ServedModel
    from models_app.scan import scan

    tracked = folders.add(folder)
    times, read = [], []
    for _ in range(4):
        start = time.perf_counter()
        (summary,) = scan([tracked])
        times.append(time.perf_counter() - start)
        read.append(summary["read"])
    assert read == [count, 0, 0, 0], read
    assert ServedModel.objects.count() == count
    return times[0], median(times[1:])


def package_seconds(path: Path) -> float:
    """How long the `gguf` package takes to open the file."""
    from gguf import GGUFReader

    start = time.perf_counter()
    GGUFReader(path)
    return time.perf_counter() - start


def main() -> None:
    """Run the benchmark as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--sample", type=int, default=5, help="files to open with the package")
    parser.add_argument("--folder", type=Path, help="where to write them, and leave them")
    arguments = parser.parse_args()
    with TemporaryDirectory() as home, TemporaryDirectory() as scratch:
        folder = arguments.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        paths = write_files(folder, arguments.files)
        os.sync()  # or the scan would share the disk with what was just written
        with product(Path(home)):
            first, again = scan_times(folder, arguments.files)
        on_disk = paths[0].stat().st_blocks * 512
        package = median(package_seconds(path) for path in paths[: arguments.sample])
    each = first / arguments.files
    print(f"files         {arguments.files:10,} of {TOKENS:,} tokens")
    print(f"on disk       {on_disk / 1e6:10.1f} MB each, the weights being a hole")
    print(f"first scan    {first:10.2f} s, {each * 1000:.1f} ms a file")
    print(f"rescan        {again:10.2f} s, {again / arguments.files * 1000:.2f} ms a file")
    print(f"gguf package  {package:10.2f} s a file (median of {arguments.sample})")
    print(f"per file      {package / each:10.0f} times faster (asked: {ASKED_READER})")
    print(f"rescan        {first / again:10.0f} times faster (asked: {ASKED_RESCAN})")


if __name__ == "__main__":
    main()
