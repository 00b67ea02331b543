"""Finds what is there twice: models of one file, copies of a file, one model in several sizes."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Final, TypeVar

from models_app.models import GgufFile, ServedModel
from models_app.naming import model_base

SAMPLE_BYTES: Final = 1 << 20
"""How much is read at the beginning, in the middle and at the end of files of one size. Two
different models of the same size differ in each of them; reading all would take minutes."""

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


class Why(StrEnum):
    """What makes models duplicates."""

    FILE = "file"
    CONTENT = "content"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class DuplicateSet:
    """Models, sorted by id, that share something."""

    why: Why
    what: str
    """What they share: a path, a size, or the part of the name before the quantization."""
    models: tuple[ServedModel, ...]
    wasted: int = 0
    """Bytes that all but one of the copies take."""


def find() -> list[DuplicateSet]:
    """All sets: those of one file first, then copies, then variants of one model.

    It reads a little of every file that has another of its size.
    """
    models = [model for model in _models() if model.file]
    certain = [*_of_one_file(models), *_copies(models)]
    told = [{model.pk for model in one.models} for one in certain]
    named = (one for one in _of_one_name(models) if {m.pk for m in one.models} not in told)
    return [*certain, *named]


def _models() -> Iterable[ServedModel]:
    return (
        ServedModel.objects.exclude(file=None)
        .exclude(file__state=GgufFile.State.VANISHED)
        .select_related("file", "file__folder", "group")
        .defer("file__facts")
        .order_by("model_id")
    )


def _of_one_file(models: Iterable[ServedModel]) -> Iterable[DuplicateSet]:
    for path, same in _several(models, _real_path):
        yield DuplicateSet(Why.FILE, path, tuple(same))


def _copies(models: Iterable[ServedModel]) -> Iterable[DuplicateSet]:
    first_of_file = {_real_path(model): model for model in models}
    read = cache(_samples)
    for size, same_size in _several(first_of_file.values(), lambda model: _file(model).size):
        for digest, same in _several(same_size, lambda model: read(_file(model).path)):
            if digest:
                wasted = size * (len(same) - 1)
                yield DuplicateSet(Why.CONTENT, _file(same[0]).relative_path, tuple(same), wasted)


def _of_one_name(models: Iterable[ServedModel]) -> Iterable[DuplicateSet]:
    for base, same in _several(models, lambda model: model_base(_file(model).relative_path)[0]):
        if len({_real_path(model) for model in same}) > 1:
            yield DuplicateSet(Why.NAME, base, tuple(same))


def _several(items: Iterable[T], key: Callable[[T], K]) -> Iterable[tuple[K, list[T]]]:
    """Groups of two and more that have a key in common, with the key."""
    groups: dict[K, list[T]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return ((value, group) for value, group in groups.items() if len(group) > 1)


def _file(model: ServedModel) -> GgufFile:
    assert model.file is not None
    return model.file


def _real_path(model: ServedModel) -> str:
    return os.path.realpath(_file(model).path)


def _samples(path: str) -> str:
    """A digest of three parts of the file; "" when it cannot be read."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            for start in (0, size // 2, max(size - SAMPLE_BYTES, 0)):
                file.seek(start)
                digest.update(file.read(SAMPLE_BYTES))
    except OSError:
        return ""
    return digest.hexdigest()
