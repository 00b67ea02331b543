"""A GGUF file in the words of the API. Sizes are in bytes unless they are texts."""

from __future__ import annotations

import os
import re
from typing import Any

from django.db.models import Sum

from models_app.facts import FileFacts
from models_app.kinds import Kind
from models_app.models import GgufFile, ServedModel
from models_app.naming import full_id, split_of
from models_app.units import decimal_size

_TALKS = frozenset({Kind.CHAT, Kind.VISION, Kind.AUDIO})


def found_file(
    facts: FileFacts, path: str, relative_path: str, size: int, model_id: str = ""
) -> dict[str, Any]:
    """A file as a scan tells of it; `size` is that of all its parts."""
    return {
        "modelId": model_id or full_id(relative_path),
        "filename": os.path.basename(path),
        "name": readable_name(facts, path),
        "size": size,
        "sizeFormatted": decimal_size(size),
        "path": path,
        "relativePath": relative_path,
        **_what_it_is(facts),
        "isDraft": facts.kind is Kind.DRAFT,
        "numLayers": facts.block_count or 0,
        "isMoE": bool(facts.expert_count),
    }


def model_info(model: ServedModel) -> dict[str, Any]:
    """A model with a file as the answers to adding one tell of it."""
    assert model.file is not None
    facts = FileFacts.from_json(model.file.facts)
    return {
        "name": readable_name(facts, model.file.path),
        "size": decimal_size(whole_size(model.file)),
        **_what_it_is(facts),
        "isDraft": facts.kind is Kind.DRAFT,
        "numLayers": facts.block_count or 0,
        "isMoE": bool(facts.expert_count),
    }


def whole_size(file: GgufFile) -> int:
    """Bytes of a file with all its later parts."""
    later: int | None = file.later_parts.aggregate(total=Sum("size"))["total"]
    return file.size + (later or 0)


def readable_name(facts: FileFacts, path: str) -> str:
    """The name that its maker gave it, else one made of the file's name."""
    if facts.name.strip():
        return facts.name.strip()
    filename = os.path.basename(path)
    split = split_of(filename)
    stem = split.prefix if split else os.path.splitext(filename)[0]
    return re.sub(r"[-_\s]+", " ", stem).strip() or filename


def _what_it_is(facts: FileFacts) -> dict[str, Any]:
    return {
        "quantization": facts.quantization,
        "isInstruct": facts.kind in _TALKS,
        "isEmbedding": facts.kind is Kind.EMBEDDING,
        "contextLength": facts.context_length or 0,
    }
