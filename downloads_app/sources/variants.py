"""Sorts the files of a repository: which belong together, and in which quantization. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from downloads_app.sources.huggingface import RepoFile
from models_app.naming import model_base, quantization_rank, split_of

_PROJECTOR = re.compile(r"(?i)(^|[^a-z])(mmproj|clip|projector)([^a-z]|$)")
PREFERRED_PROJECTORS = ("f16", "bf16", "q8-0", "f32")


@dataclass(frozen=True, slots=True)
class Variant:
    """A model in one quantization: one file, or all parts of a split one in their order."""

    name: str
    """The quantization as people write it, such as "Q4_K_M"; without one, the file's name."""
    files: tuple[RepoFile, ...]
    missing: int = 0
    """Parts that the repository does not have."""

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


@dataclass(frozen=True, slots=True)
class Sorted:
    """A repository's models, best to take first, and its projectors."""

    variants: tuple[Variant, ...]
    projectors: tuple[RepoFile, ...]


def sort(files: Iterable[RepoFile]) -> Sorted:
    """GGUF files grouped; all others are left out."""
    sets: dict[tuple[str, int], list[RepoFile]] = {}
    projectors: list[RepoFile] = []
    for file in sorted(files, key=lambda file: file.path):
        if not file.path.lower().endswith(".gguf"):
            continue
        folder, _, name = file.path.rpartition("/")
        if _PROJECTOR.search(name):
            projectors.append(file)
            continue
        split = split_of(name)
        prefix = f"{folder}/{split.prefix}" if split else file.path
        sets.setdefault((prefix, split.total if split else 1), []).append(file)
    variants = [_variant(group, total) for (_, total), group in sets.items()]
    variants.sort(key=lambda one: (bool(one.missing), quantization_rank(one.name), one.name))
    return Sorted(tuple(_distinct(variants)), tuple(sorted(projectors, key=_projector_order)))


def pick(variants: Sequence[Variant], wanted: str) -> Variant | None:
    """The whole variant that `wanted` names, in any spelling; "" for the best; None without one."""
    whole = [variant for variant in variants if not variant.missing]
    if not wanted:
        return whole[0] if whole else None
    plain = _plain(wanted)
    for variant in whole:
        if _plain(variant.name) == plain or variant.files[0].path == wanted:
            return variant
    return None


def _variant(files: list[RepoFile], total: int) -> Variant:
    name = files[0].path.rpartition("/")[2]
    quantization = model_base(name)[1]
    shown = quantization.upper().replace("-", "_").replace("UD_", "UD-").replace("I1_", "i1-")
    if not shown:
        split = split_of(name)
        shown = split.prefix if split else name[:-5]
    present = {split.no for file in files if (split := split_of(file.path.rpartition("/")[2]))}
    return Variant(shown, tuple(files), total - len(present) if total > 1 else 0)


def _distinct(variants: list[Variant]) -> list[Variant]:
    """Several models of one quantization in one repository are told apart by their files."""
    names = [variant.name for variant in variants]
    return [
        Variant(variant.files[0].path, variant.files, variant.missing)
        if names.count(variant.name) > 1
        else variant
        for variant in variants
    ]


def _projector_order(file: RepoFile) -> tuple[int, str]:
    name = _plain(file.path)
    ranks = [rank for rank, kind in enumerate(PREFERRED_PROJECTORS) if _plain(kind) in name]
    # "bf16" holds "f16" as well: the later, longer word is meant.
    bf16 = "bf16" in name
    return (1 if bf16 else min(ranks, default=len(PREFERRED_PROJECTORS)), file.path)


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())
