"""What a GGUF file is for, told from its header; its name decides only where the header is silent.

The order of the questions matters: an adapter also carries its model's architecture, and a reranker
its pooling.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from models_app.chat_template import has_chat_template
from models_app.gguf import GgufHeader, Value


class Kind(StrEnum):
    """What a file is for.

    No header tells `VISION` and `AUDIO`: they are chat models with a projector beside them, which
    a scan finds out once it knows all files.
    """

    CHAT = "chat"
    VISION = "vision"  # a chat model that sees
    AUDIO = "audio"  # a chat model that hears
    BASE = "base"  # continues a text, was not taught to answer
    EMBEDDING = "embedding"
    RERANKER = "reranker"
    SPEECH = "speech"  # makes sound
    PROJECTOR = "projector"  # lets a model see or hear
    DRAFT = "draft"  # only guesses ahead for a bigger model
    LORA = "lora"
    PART = "part"  # a later part of a split model, without facts of its own
    OTHER = "other"  # nothing that llama-server serves


_ENCODERS: Final = frozenset({
    "bert", "modern-bert", "nomic-bert", "nomic-bert-moe", "neo-bert", "jina-bert-v2",
    "jina-bert-v3", "eurobert", "gemma-embedding", "llama-embed", "t5encoder", "roberta",
})  # fmt: skip
_SPEAKERS: Final = frozenset({"wavtokenizer-dec", "qwen3tts", "pockettts"})
_DRAFTERS: Final = frozenset({"eagle3", "dflash"})

_POOLING_RANK: Final = 4
_POOLINGS_OF_EMBEDDINGS: Final = frozenset({1, 2, 3})  # mean, cls, last

_EMBEDDING_TAGS: Final = frozenset(
    {"sentence-transformers", "sentence-similarity", "feature-extraction"}
)
_RERANKER_TAGS: Final = frozenset({"text-ranking", "reranker"})
_DRAFT_TAGS: Final = frozenset({"draft", "speculative-decoding"})

_EMBEDDING_NAME: Final = re.compile(r"\b(embed|embeddings?|e5|gte|bge|minilm|mxbai)\b", re.I)
_DRAFT_NAME: Final = re.compile(r"\bdraft\b", re.I)
_CHAT_NAME: Final = re.compile(r"\b(instruct|chat|it|assistant)\b", re.I)
_BASE_NAME: Final = re.compile(r"\b(base|pt|pretrain(ed)?)\b", re.I)


def kind_of(header: GgufHeader, filename: str) -> Kind:
    """The kind of the file with this header and this name."""
    return _special_kind(header) or _model_kind(_Clues(header, filename))


def with_projector(kind: Kind, *, sees: bool, hears: bool) -> Kind:
    """The kind of a model of some kind, loaded with a projector that `sees` or `hears`."""
    if kind is not Kind.CHAT:
        return kind
    if sees:
        return Kind.VISION
    return Kind.AUDIO if hears else kind


def without_projector(kind: Kind) -> Kind:
    """The reverse of `with_projector`."""
    return Kind.CHAT if kind in (Kind.VISION, Kind.AUDIO) else kind


def _special_kind(header: GgufHeader) -> Kind | None:
    """The kind of a file that is no whole language model."""
    metadata = header.metadata
    arch = metadata.get("general.architecture")
    role = metadata.get("general.type")
    if role == "adapter" or "adapter.type" in metadata:
        lora = metadata.get("adapter.type", "lora") == "lora"
        return Kind.LORA if lora else Kind.OTHER
    if arch == "clip" or role == "mmproj":
        return Kind.PROJECTOR
    if _is_positive(metadata.get("split.no")):
        return Kind.PART
    split = metadata.get("split.count")
    whole = bool(header.tensors) or (_is_positive(split) and split != 1)
    if not whole or f"{arch}.block_count" not in metadata or role not in (None, "model"):
        return Kind.OTHER
    return None


def _is_positive(value: Value | None) -> bool:
    """Whether a metadata value is an integer above 0."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


class _Clues:
    """What tells a language model's kind."""

    def __init__(self, header: GgufHeader, filename: str) -> None:
        metadata = header.metadata
        tags = metadata.get("general.tags")
        names = (metadata.get("general.name"), metadata.get("general.finetune"), filename)
        self.arch = metadata.get("general.architecture")
        self.pooling = metadata.get(f"{self.arch}.pooling_type")
        self.tags = frozenset(tags) if isinstance(tags, tuple) else frozenset()
        self.name = " ".join(re.sub(r"[_.]", "-", n) for n in names if isinstance(n, str))
        self.classifies = any(tensor.name.startswith("cls.") for tensor in header.tensors)
        self.template = has_chat_template(header)


def _model_kind(clues: _Clues) -> Kind:
    if clues.arch in _SPEAKERS:
        return Kind.SPEECH
    if clues.arch in _DRAFTERS:
        return Kind.DRAFT
    if clues.pooling == _POOLING_RANK or clues.classifies or clues.tags & _RERANKER_TAGS:
        return Kind.RERANKER
    if clues.pooling in _POOLINGS_OF_EMBEDDINGS or clues.arch in _ENCODERS:
        return Kind.EMBEDDING
    if clues.tags & _EMBEDDING_TAGS or _EMBEDDING_NAME.search(clues.name):
        return Kind.EMBEDDING
    if clues.tags & _DRAFT_TAGS or _DRAFT_NAME.search(clues.name):
        return Kind.DRAFT
    return _text_kind(clues)


def _text_kind(clues: _Clues) -> Kind:
    says_chat = bool(_CHAT_NAME.search(clues.name))
    says_base = bool(_BASE_NAME.search(clues.name))
    if says_base and not says_chat:
        return Kind.BASE  # base models inherit their family's template
    return Kind.CHAT if clues.template or says_chat else Kind.BASE
