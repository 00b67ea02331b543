"""Our GGUF reader against the `gguf` package's, on the same file, in interleaved runs.

    python -m bench.gguf_reader [--tokens 131072] [--rounds 5] [FILE]

Without FILE it writes a model with a vocabulary of that many tokens. Prints the median time of each
reader and their ratio; only the ratio says anything about another machine.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from gguf import GGUFReader, TokenType

from models_app.facts import facts_of
from models_app.gguf import read_header
from tests.ggufs import write_reciter


def write_vocabulary(path: Path, tokens: int) -> Path:
    """Write a small model whose tokenizer lists `tokens` tokens, as long as real ones are."""
    words = [f"token{number:x}" for number in range(tokens)]
    metadata = {
        "tokenizer.ggml.tokens": words,
        "tokenizer.ggml.token_type": [int(TokenType.NORMAL)] * tokens,
    }
    return write_reciter(path, "To be, or not to be.", metadata=metadata)


def ours(path: Path) -> None:
    """Read the header and tell the facts, which is what a scan does with a file."""
    facts_of(read_header(path), path.name)


def theirs(path: Path) -> None:
    """Open the file with the `gguf` package."""
    GGUFReader(path)


def seconds(read: Callable[[Path], None], path: Path) -> float:
    """How long one run takes."""
    start = time.perf_counter()
    read(path)
    return time.perf_counter() - start


def compare(path: Path, rounds: int) -> tuple[float, float]:
    """Median seconds of our reader and of the package's, run by turns."""
    ours(path)  # so that no round pays for the disk
    runs = [(seconds(ours, path), seconds(theirs, path)) for _ in range(rounds)]
    return median(run[0] for run in runs), median(run[1] for run in runs)


def main() -> None:
    """Run the benchmark as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path, help="a GGUF file to read instead")
    parser.add_argument("--tokens", type=int, default=131_072)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        path = arguments.file or write_vocabulary(Path(folder) / "m.gguf", arguments.tokens)
        mine, package = compare(path, arguments.rounds)
    print(f"ours          {mine * 1000:10.1f} ms")
    print(f"gguf package  {package * 1000:10.1f} ms")
    print(f"ratio         {package / mine:10.0f}")


if __name__ == "__main__":
    main()
