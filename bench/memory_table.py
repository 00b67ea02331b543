"""Regenerates docs/memory.md: what we plan beside what the engine takes.

    python -m bench.memory_table [--models FOLDER] [--gemma FILE] [--write docs/memory.md]

About 250 loads, one at a time and at low priority, in ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import django

from bench.families import build
from bench.memory_referee import MIB, Buffers, loads_for, measure
from bench.shapes import FITTED, HELD_OUT
from bench.sparse_gguf import write
from models_app.buffers import Load, compute_bytes, output_bytes
from models_app.gguf import read_header
from models_app.memory import Placement, plan_memory
from models_app.shape import ModelShape
from models_app.shape_reader import shape_of

CACHE_TOLERANCE: Final = 0.1 * MIB
WEIGHTS_TOLERANCE: Final = 0.02
COMPUTE_TOLERANCE: Final = 0.10
COMPUTE_SLACK: Final = 20 * MIB
TOTAL_TOLERANCE: Final = 0.10


@dataclass(frozen=True, slots=True)
class Run:
    """One load: what we said and what the engine said."""

    model: str
    architecture: str
    held_out: bool
    load: Load
    planned: Buffers
    measured: Buffers

    @property
    def cache_error(self) -> int:
        """Bytes."""
        planned = self.planned.cache + self.planned.state
        return planned - self.measured.cache - self.measured.state

    @property
    def weights_error(self) -> float:
        planned = self.planned.weights + self.planned.repacked
        return planned / (self.measured.weights + self.measured.repacked) - 1

    @property
    def compute_error(self) -> float:
        return self.planned.compute / self.measured.compute - 1

    @property
    def total_error(self) -> float:
        return self.planned.total / self.measured.total - 1

    @property
    def holds(self) -> bool:
        """Whether every figure is within its tolerance."""
        compute = abs(self.planned.compute - self.measured.compute)
        return (
            abs(self.cache_error) <= CACHE_TOLERANCE
            and abs(self.weights_error) <= WEIGHTS_TOLERANCE
            and compute <= max(COMPUTE_SLACK, COMPUTE_TOLERANCE * self.measured.compute)
            and abs(self.total_error) <= TOTAL_TOLERANCE
        )


def planned(shape: ModelShape, load: Load) -> Buffers:
    """Our figures under the engine's headings, everything on the CPU."""
    use = plan_memory(shape, load, Placement()).cpu
    return Buffers(
        weights=use.weights,
        repacked=use.repacked,
        cache=use.cache,
        state=use.state,
        output=output_bytes(shape, load),
        compute=compute_bytes(shape, load),
    )


def runs_of(
    binary: Path, path: Path, name: str, *, held_out: bool, at_most: int | None = None
) -> Iterator[Run]:
    """Load one file in every way of the table. Raises `EngineFailed`."""
    shape = shape_of(read_header(path))
    log = path.with_suffix(".log")
    for load in loads_for(shape.architecture)[:at_most]:
        yield Run(
            name,
            shape.architecture,
            held_out,
            load,
            planned(shape, load),
            measure(binary, path, load, log),
        )


def campaign(binary: Path, folder: Path, gemma: Path | None) -> Iterator[Run]:
    """All loads of the table; the files are written to `folder` and removed again."""
    if gemma:
        copy = folder / "gemma-3-270m.gguf"
        copy.symlink_to(gemma.resolve())
        yield from runs_of(binary, copy, "Gemma 3 270M (real weights)", held_out=False)
    for held_out, group in ((False, FITTED), (True, HELD_OUT)):
        for numbers in group:
            path = folder / f"{numbers.name.replace(' ', '-')}.gguf"
            write(path, build(numbers))
            yield from runs_of(binary, path, numbers.name, held_out=held_out)
            path.unlink()


def document(runs: list[Run], version: str) -> str:
    """docs/memory.md."""
    wrong = [run for run in runs if not run.holds]
    lines = [
        "# How exact the memory plan is",
        "",
        f"Written by `python -m bench.memory_table`. Engine: {version}, CPU backend. "
        f"{len(runs)} loads, {len(runs) - len(wrong)} within all tolerances: cache and state "
        "within 0.1 MiB, weights within 2 %, compute buffers within 10 % or 20 MiB, the total "
        "within 10 %.",
        "",
        "**Figures for GPUs are unverified**: the same formulas are used there, with a margin of "
        "512 MiB and 4 % of each GPU's memory.",
        "",
        "Shapes marked *held out* were measured only after the formulas were fixed. Files of "
        "published shapes have no weights in them; some have fewer layers than published "
        "(`bench/shapes.py`).",
        "",
        "## By model: the largest errors over all its loads",
        "",
        "| model | architecture | loads | cache+state MiB | weights | compute | total | holds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    by_model: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_model[run.model].append(run)
    lines += [_model_row(name, group) for name, group in by_model.items()]
    lines += [
        "",
        "## Every load",
        "",
        "`u`: slots share one cache. `fa`: flash attention. `e`: for embeddings. `w`: windows at "
        "full size. MiB, planned / measured.",
        "",
        "| model | load | weights | cache+state | compute | total | error |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [_run_row(run) for run in runs]
    return "\n".join(lines) + "\n"


def _model_row(name: str, runs: list[Run]) -> str:
    cache = max(abs(run.cache_error) for run in runs) / MIB
    weights = max((run.weights_error for run in runs), key=abs)
    compute = max((run.compute_error for run in runs), key=abs)
    total = max((run.total_error for run in runs), key=abs)
    held = " (held out)" if runs[0].held_out else ""
    good = sum(run.holds for run in runs)
    return (
        f"| {name}{held} | {runs[0].architecture} | {len(runs)} | {cache:.2f} | {weights:+.1%} | "
        f"{compute:+.1%} | {total:+.1%} | {good}/{len(runs)} |"
    )


def _run_row(run: Run) -> str:
    ours, theirs = run.planned, run.measured
    pairs = (
        (ours.weights + ours.repacked, theirs.weights + theirs.repacked),
        (ours.cache + ours.state, theirs.cache + theirs.state),
        (ours.compute, theirs.compute),
        (ours.total, theirs.total),
    )
    cells = " | ".join(f"{one / MIB:.1f} / {other / MIB:.1f}" for one, other in pairs)
    return f"| {run.model} | {_described(run.load)} | {cells} | {run.total_error:+.1%} |"


def _described(load: Load) -> str:
    words = [f"c{load.context}", f"{load.slots}{'u' if load.unified else ''}", f"ub{load.ubatch}"]
    if (load.type_k, load.type_v) != ("f16", "f16"):
        words.append(f"{load.type_k}/{load.type_v}")
    marks = ((load.flash_attention, "fa"), (load.embedding, "e"), (load.full_windows, "w"))
    words += [mark for wanted, mark in marks if wanted]
    return " ".join(words)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--models", type=Path, help="where the files are written for a while")
    parser.add_argument("--gemma", type=Path, help="the starter model's file")
    parser.add_argument("--write", type=Path, default=Path("docs/memory.md"))
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "claracore_site.settings")
    django.setup()
    from models_app.engine_build import locate, version_of

    found = locate()
    if found is None:
        print("There is no llama-server to measure.", file=sys.stderr)
        return 1
    runs = []
    with tempfile.TemporaryDirectory(dir=options.models) as folder:
        for run in campaign(found.path, Path(folder), options.gemma):
            runs.append(run)
            mark = " " if run.holds else "!"
            print(f"{mark} {run.model}: {_described(run.load)} {run.total_error:+.1%}", flush=True)
    options.write.write_text(document(runs, version_of(found)))
    return 0 if all(run.holds for run in runs) else 1


if __name__ == "__main__":
    sys.exit(main())
