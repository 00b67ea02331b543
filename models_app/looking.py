"""Looks through folders without tracking them: what a scan would find, and nothing is stored."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from models_app import roots
from models_app.facts import FileFacts, facts_of
from models_app.gguf import GgufError, read_header
from models_app.introduce import SERVED_KINDS
from models_app.kinds import Kind
from models_app.model_info import found_file
from models_app.naming import split_of
from models_app.scan import Progress
from models_app.walk import FoundFile, Walk, shown, walk

LISTED = SERVED_KINDS | {Kind.DRAFT}


def look(
    folders: Iterable[tuple[str, bool]], report: Callable[[Progress], None]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What `folders` (path, recursive) hold: a summary each, and the models found.

    Both are plain values as the API tells them. `report` ends the look by raising.
    """

    def tell(at: str) -> None:
        report(_looking(at))

    visits = [
        (path, walk(path, recursive=recursive, roots=roots.roots([path]), on_folder=tell))
        for path, recursive in folders
    ]
    total = sum(len(found.files) for _, found in visits)
    summary, models = [], []
    processed = 0
    for path, found in visits:
        here, problems = [], list(found.problems)
        for file, size in _whole_models(found):
            report(Progress("Reading files", shown(file.relative_path), total, processed))
            processed += 1
            facts = _facts(file, problems)
            if facts and facts.kind in LISTED:
                here.append(found_file(facts, file.path, file.relative_path, size))
        models += here
        summary.append(_summary(path, found, len(here), problems))
    return summary, models


def _looking(folder: str) -> Progress:
    return Progress("Looking through folders", shown(folder))


def _whole_models(found: Walk) -> list[tuple[FoundFile, int]]:
    """Files that stand for a model, with the bytes of all their parts."""
    sizes: dict[tuple[str, str], int] = defaultdict(int)
    first = []
    for file in found.files:
        folder, name = os.path.split(file.path)
        split = split_of(name)
        key = (folder, f"{split.prefix} of {split.total}" if split else name)
        sizes[key] += file.size
        if split is None or split.no == 1:
            first.append((file, key))
    return [(file, sizes[key]) for file, key in first]


def _facts(file: FoundFile, problems: list[str]) -> FileFacts | None:
    try:
        return facts_of(read_header(Path(file.path)), os.path.basename(file.path))
    except GgufError as error:
        problems.append(f"{shown(file.relative_path)}: {error}")
        return None


def _summary(path: str, found: Walk, models: int, problems: list[str]) -> dict[str, Any]:
    outcome = {"status": "error", "error": found.error} if found.error else {"status": "success"}
    return {"folder": path, **outcome, "models": models, "files": len(found.files),
            "problems": len(problems)}  # fmt: skip
