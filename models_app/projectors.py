"""Which projector belongs to which model: what lets a language model see or hear.

The metadata of both decide. Names come second, folders only choose among what fits. The outcome
does not depend on the order in which files were found.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from models_app.facts import FileFacts
from models_app.models import GgufFile
from models_app.naming import model_base

# Projector types made for one architecture, by how both begin. Types that several families share
# (pixtral, idefics3, internvl, ultravox …) are absent: they tell nothing.
_FAMILIES: Final = {
    "gemma3": ("gemma3",),
    "qwen2vl": ("qwen2vl",),
    "qwen2.5vl": ("qwen2vl",),
    "qwen3vl": ("qwen3vl",),
    "llama4": ("llama4",),
    "cogvlm": ("cogvlm",),
    "lfm2": ("lfm2",),
}
# Files of these old types state the width inside the vision model, not that of the text model.
_INNER_WIDTHS: Final = frozenset({"mlp", "mlp_norm", "ldp", "ldpv2", "resampler", "adapter"})

# Which of several projectors of one model: half precision loses nothing and runs everywhere.
_PRECISIONS: Final = {"F16": 0, "BF16": 1, "Q8_0": 2, "F32": 3}

_NOT_A_NAME: Final = frozenset(
    {"mmproj", "model", "projector", "gguf", "clip", "vision", "encoder"}
)
_SIZE: Final = re.compile(r"\d+(?:\.\d+)?[bm]")
_SIMILAR: Final = 0.7


@dataclass(frozen=True, slots=True)
class _Member:
    """A file with what pairing asks about it."""

    row: GgufFile
    facts: FileFacts
    folder: str
    base: str
    names: tuple[frozenset[str], ...]

    @classmethod
    def of(cls, row: GgufFile) -> _Member:
        facts = FileFacts.from_json(row.facts)
        folder, filename = os.path.split(row.path)
        base = model_base(filename)[0]
        texts = (facts.name, f"{facts.basename} {facts.size_label}", *facts.base_models, base)
        names = {_words(text) for text in texts}
        # One word such as "llama" is a family, not a model.
        return cls(row, facts, folder, base, tuple(name for name in names if len(name) > 1))


def pair(models: Iterable[GgufFile], projectors: Iterable[GgufFile]) -> dict[int, GgufFile]:
    """The projector for each model that has one, by the model's primary key.

    A projector whose width or family differs never fits. Else it fits when
    1. both carry the same name, wherever they lie, or
    2. it was made for this architecture and width and lies below the same tracked folder, or
    3. the names are alike and the widths equal below the same tracked folder, or
    4. the model and its other quantizations are alone with it in a folder.
    Of several, the one in the model's own folder comes first, then the order above, then half
    precision, then the path.
    """
    texts = [_Member.of(row) for row in models]
    seers = [_Member.of(row) for row in projectors]
    bases: dict[str, set[str]] = defaultdict(set)
    for text in texts:
        bases[text.folder].add(text.base)
    chosen = {}
    for text in texts:
        fitting = [
            (_rank(text, seer, rule), seer.row)
            for seer in seers
            if (rule := _rule(text, seer, alone=len(bases[text.folder]) == 1))
        ]
        if fitting:
            chosen[text.row.pk] = min(fitting, key=lambda item: item[0])[1]
    return chosen


def _rank(text: _Member, seer: _Member, rule: int) -> tuple[bool, int, bool, int, str]:
    return (
        text.folder != seer.folder,
        rule,
        text.row.folder_id != seer.row.folder_id,
        _PRECISIONS.get(seer.row.quantization, len(_PRECISIONS)),
        seer.row.path,
    )


def _rule(text: _Member, seer: _Member, *, alone: bool) -> int | None:
    """The number of the rule by which `seer` fits `text`, None when it does not fit."""
    same_width = _same_width(text.facts, seer.facts)
    family = _same_family(text.facts, seer.facts)
    if same_width is False or family is False:
        return None
    likeness = _likeness(text.names, seer.names)
    tracked_together = text.row.folder_id == seer.row.folder_id
    if likeness == 1.0:
        return 1
    if tracked_together and same_width and family:
        return 2
    if tracked_together and same_width and likeness > _SIMILAR:
        return 3
    if alone and text.folder == seer.folder:
        return 4
    return None


def _same_width(text: FileFacts, seer: FileFacts) -> bool | None:
    """Whether the projector's output is as wide as the model's input; None when unknown."""
    if not text.embedding_length or not seer.projection_dim:
        return None
    if text.embedding_length == seer.projection_dim:
        return True
    return None if seer.projector_type in _INNER_WIDTHS else False


def _same_family(text: FileFacts, seer: FileFacts) -> bool | None:
    """Whether the projector's type is made for the architecture; None when it does not tell."""
    for prefix, architectures in _FAMILIES.items():
        if seer.projector_type.startswith(prefix):
            return text.architecture.startswith(architectures)
    return None


def _likeness(ones: Sequence[frozenset[str]], others: Sequence[frozenset[str]]) -> float:
    """How alike the most alike two names are: 1 equal, 0 nothing in common."""
    return max((_compare(one, other) for one in ones for other in others), default=0.0)


def _compare(one: frozenset[str], other: frozenset[str]) -> float:
    sizes = {w for w in one if _SIZE.fullmatch(w)}, {w for w in other if _SIZE.fullmatch(w)}
    if all(sizes) and sizes[0].isdisjoint(sizes[1]):
        return 0.0
    return 2 * len(one & other) / (len(one) + len(other))


def _words(text: str) -> frozenset[str]:
    """The words of a name; a dot counts within numbers only."""
    words = re.findall(r"[^\W_]+(?:\.\d[^\W_]*)*", text.lower())
    return frozenset(words) - _NOT_A_NAME
