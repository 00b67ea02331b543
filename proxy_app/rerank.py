"""Answers of rerankers in both shapes that clients know (pure).

llama-server says `results[]` with index and score; other clients read `data[]`, each with its
`document`. Both lists go into one answer, and nothing of the engine's is lost.
"""

from __future__ import annotations

from typing import Any

import msgspec

PATHS = frozenset(("/v1/rerank", "/v1/reranking", "/rerank", "/reranking"))

_Item = dict[str, Any]


class _Request(msgspec.Struct):
    documents: list[Any] | None = None
    return_documents: bool = True


def merged(request: bytes, answer: bytes) -> bytes:
    """The engine's answer with `data` beside `results`; as it came when it is something else."""
    try:
        asked = msgspec.json.decode(request, type=_Request)
        told = msgspec.json.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return answer
    if not isinstance(told, dict):
        return answer
    items = told.get("results", told.get("data"))
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        return answer
    told.setdefault("object", "list")
    told.setdefault("results", items)
    if "data" not in told:
        documents = asked.documents if asked.return_documents else None
        told["data"] = [_with_document(item, documents or []) for item in items]
    return msgspec.json.encode(told)


def _with_document(item: _Item, documents: list[Any]) -> _Item:
    index = item.get("index")
    if "document" in item or not isinstance(index, int) or not 0 <= index < len(documents):
        return item
    return {**item, "document": documents[index]}
