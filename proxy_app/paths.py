"""Every path the gateway answers, and how each tells which model it wants (pure)."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

BY_BODY: Final = (
    "/v1/chat/completions",
    "/v1/chat/completions/input_tokens",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/responses",
    "/v1/responses/input_tokens",
    "/v1/rerank",
    "/v1/reranking",
    "/rerank",
    "/reranking",
    "/v1/audio/speech",
    "/v1/audio/transcriptions",
    "/v1/audio/translations",
    "/v1/images/generations",
    "/v1/images/edits",
    "/v1/images/variations",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/infill",
    "/completion",
    "/completions",
    "/embedding",
    "/embeddings",
    "/tokenize",
    "/detokenize",
    "/apply-template",
)
"""POST; the body is JSON or a form with the field `model`. `?model=` does as well."""

STREAM_EVENTS: Final = frozenset(
    {
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/responses",
        "/v1/messages",
        "/v1/images/generations",
        "/v1/images/edits",
        "/infill",
        "/completion",
        "/completions",
    }
)
"""Where `stream` asks for events; elsewhere for whatever there is, as sound from a voice."""

BY_QUERY: Final = ("/v1/audio/voices", "/props", "/slots", "/lora-adapters")
"""Any method; `?model=` names the model, as these have no body, or one without a model."""

FIXED: Final = {
    "/v1/models": "GET",
    "/running": "GET",
    "/info": "GET",
    "/unload": "GET",
    "/health": "GET",
    "/health/live": "GET",
    "/health/ready": "GET",
}
"""About the server itself, each with its method."""

_FIRST: Final = frozenset(path.split("/")[1] for path in (*BY_BODY, *BY_QUERY, *FIXED)) | {
    "upstream"
}


ENGINE_SETTINGS: Final = frozenset({"props", "slots", "lora-adapters", "load", "unload"})
"""`load` and `unload` are under `/models/` of an engine that serves several."""


def manages(path: str, method: str) -> bool:
    """Whether a request to one of these paths changes what others get from a model."""
    parts = path.strip("/").split("/")
    if parts[0] == "unload":
        return True
    at_engine = ENGINE_SETTINGS.intersection(parts if parts[0] == "upstream" else parts[:1])
    return bool(at_engine) and method not in ("GET", "HEAD", "OPTIONS")


ENGINE_TOOLS: Final = frozenset({"cors-proxy", "tools", "stream", "streams", "control"})
"""Where an engine fetches any address, or runs programs, once it was started with `--agent`; and
where it tells of and ends what anybody asked for, by an id that can be guessed."""

_OF_FORMS: Final = frozenset({"audio", "images"})


def takes_forms(path: str) -> bool:
    """Whether files go there, which JSON cannot hold."""
    return not _OF_FORMS.isdisjoint(path.split("/"))


_GENERATES: Final = frozenset({"completion", "completions", "infill", "responses", "messages"})
_READS: Final = frozenset({"embedding", "embeddings", "rerank", "reranking"})


@lru_cache(maxsize=1024)
def generates(path: str) -> bool:
    """Whether an answer from there is words that a model wrote."""
    return path.rstrip("/").rpartition("/")[2] in _GENERATES


@lru_cache(maxsize=1024)
def reads(path: str) -> bool:
    """Whether a model reads what is sent there."""
    return path.rstrip("/").rpartition("/")[2] in _READS | _GENERATES


def commands(path: str) -> bool:
    """Whether a request to one of these paths has an engine do what its own command may."""
    parts = path.strip("/").split("/")
    return parts[0] == "upstream" and not ENGINE_TOOLS.isdisjoint(parts[2:])


def is_ours(path: str) -> bool:
    """Whether the gateway answers a path, be it by saying that there is none such."""
    return path.removeprefix("/").partition("/")[0] in _FIRST
