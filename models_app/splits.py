"""Split models: files such as `big-00001-of-00003.gguf` that are one model together."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from models_app.models import GgufFile
from models_app.naming import split_of

State = GgufFile.State


class Settled(NamedTuple):
    """What a part's set says about it. `parameters` are those of the whole set."""

    state: str
    problem: str
    first_part: GgufFile | None
    parameters: int | None


class _Set(NamedTuple):
    folder: str
    prefix: str
    total: int


def settle(rows: Iterable[GgufFile]) -> Iterator[tuple[GgufFile, Settled]]:
    """The state of every part of a split model among `rows`, which are all files there are.

    The engine finds the other parts by name in the first part's folder, so names decide what
    belongs together, and the metadata whether a file is a part at all.
    """
    present: dict[_Set, dict[int, GgufFile]] = defaultdict(dict)
    for row in rows:
        if row.state == State.VANISHED or not _may_be_part(row):
            continue
        folder, name = os.path.split(row.path)
        split = split_of(name)
        if split is None or split.total != (row.split_count or split.total):
            yield row, _misnamed(row)
        else:
            present[_Set(folder, split.prefix, split.total)][split.no] = row
    for key, parts in present.items():
        yield from _settle_set(key, parts)


def _may_be_part(row: GgufFile) -> bool:
    """A readable file is a part if it says so, an unreadable one if its name does."""
    if row.state == State.UNREADABLE:
        return split_of(os.path.basename(row.path)) is not None
    return row.split_count is not None


def _misnamed(row: GgufFile) -> Settled:
    if row.state == State.UNREADABLE:
        return Settled(row.state, row.problem, None, None)
    problem = (
        f"It is part {row.split_no} of {row.split_count}, but its name does not end in "
        f"-{row.split_no:05d}-of-{row.split_count:05d}.gguf, so the engine cannot find the others."
    )
    return Settled(State.INCOMPLETE, problem, None, row.parameters)


def _settle_set(key: _Set, parts: dict[int, GgufFile]) -> Iterator[tuple[GgufFile, Settled]]:
    first = parts.get(1)
    problem = _problem(key, parts)
    total = sum(int(row.facts.get("parameters") or 0) for row in parts.values())
    for no, row in parts.items():
        leader = first if no > 1 else None
        if row.state == State.UNREADABLE:
            yield row, Settled(row.state, row.problem, leader, row.parameters)
            continue
        own = int(row.facts.get("parameters") or 0)
        yield (
            row,
            Settled(
                state=State.INCOMPLETE if problem else State.OK,
                problem=problem,
                first_part=leader,
                parameters=(total if no == 1 else own) or None,
            ),
        )


def _problem(key: _Set, parts: dict[int, GgufFile]) -> str:
    """Why the set is not whole, "" when it is."""
    missing = [no for no in range(1, key.total + 1) if no not in parts]
    unreadable = [no for no, row in sorted(parts.items()) if row.state == State.UNREADABLE]
    sentences = []
    for numbers, what in ((missing, "missing"), (unreadable, "unreadable")):
        if numbers:
            sentences.append(f"{_are_parts(numbers, key.total)} {what}.")
    if any(row.split_no not in (None, no) for no, row in parts.items()):
        sentences.append("Names and metadata disagree on which part is which.")
    return " ".join(sentences)


def _are_parts(numbers: list[int], total: int) -> str:
    """Such as "Part 2 of 3 is" and "Parts 2, 3, 4, 5, 6 and 9 more of 20 are"."""
    if len(numbers) == 1:
        return f"Part {numbers[0]} of {total} is"
    shown = ", ".join(str(no) for no in numbers[:5])
    more = f" and {len(numbers) - 5} more" if len(numbers) > 5 else ""
    return f"Parts {shown}{more} of {total} are"
