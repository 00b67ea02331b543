"""The words in which the routes under /api are described, so that clients can be generated.

Give each view `@described(...)`. Errors that every route can answer are added here; a view names
those of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    inline_serializer,
)
from rest_framework import serializers

View = TypeVar("View", bound=Callable[..., Any])

_MEANINGS: Final = {
    400: "The request cannot be carried out as it is; `error` says why.",
    401: "An API key is required, or the one sent is not valid.",
    403: "The host name or the page the request comes from is not this server's.",
    404: "There is no such thing.",
    405: "The path is known, the method is not.",
    409: "Something is in the way; further keys name it.",
    413: "The request body is too long.",
    429: "Too many requests are waiting.",
    500: "The server made a mistake; its log tells more.",
    502: "The engine failed.",
    503: "A worker or an engine is not there, or not done yet.",
}
_ALWAYS: Final = (401, 403)


class Error(serializers.Serializer[Any]):
    """What every error under /api looks like. Further keys may stand beside these."""

    error = serializers.CharField(help_text="What is wrong and what to do about it.")
    details = serializers.JSONField(help_text="More about it: a text, or a list of texts.")
    code = serializers.CharField(help_text="For programs to compare, such as NOT_FOUND.")


class Effect(serializers.Serializer[Any]):
    """What a change means for models; part of the answer to every change."""

    added = serializers.ListField(
        child=serializers.CharField(), help_text="Models that are served from now on."
    )
    removed = serializers.ListField(
        child=serializers.CharField(), help_text="Models that are no longer served."
    )
    changed = serializers.ListField(
        child=serializers.CharField(), help_text="Models whose engine is started in another way."
    )
    restarts = serializers.ListField(
        child=serializers.CharField(),
        help_text="Loaded models that restart once their requests are done.",
    )
    stays = serializers.ListField(
        child=serializers.CharField(), help_text="Loaded models that go on undisturbed."
    )
    effect = serializers.CharField(help_text="The same in a sentence.")
    dryRun = serializers.BooleanField(help_text="Whether it was only asked about.")


class Restart(serializers.Serializer[Any]):
    """What existing clients show after a change."""

    requiresRestart = serializers.BooleanField()
    restartMessage = serializers.CharField()


DRY_RUN: Final = OpenApiParameter(
    "dry_run",
    OpenApiTypes.STR,
    enum=["0", "1"],
    description="1: say what would happen, and change nothing.",
)
WAIT: Final = OpenApiParameter(
    "wait",
    OpenApiTypes.FLOAT,
    description="Seconds to wait for the work's end before 503 answers with the run's id.",
)


def described(
    operation: str,
    summary: str,
    *,
    tag: str,
    answers: Any,
    takes: Any = None,
    errors: Iterable[int] = (),
    query: Iterable[OpenApiParameter] = (),
    examples: Mapping[str, Any] | None = None,
    about: str = "",
    methods: list[str] | None = None,
    media: str = "",
) -> Callable[[View], View]:
    """Describe a view: what it takes and answers, and the errors of its own.

    `operation` is what generated clients call it; it must be the only one of its name.
    `takes` and `answers` are serializers, `media` the type of an answer that is not JSON; 400 and
    413 follow from taking something. `examples` are request bodies by name.
    """
    codes = {*errors, *_ALWAYS, *((400, 413) if takes is not None else ())}
    responses: dict[Any, Any] = {(200, media): answers} if media else {200: answers}
    for code in sorted(codes):
        responses[code] = OpenApiResponse(Error, description=_MEANINGS[code])
    return extend_schema(
        summary=summary,
        description=about or summary,
        tags=[tag],
        operation_id=operation,
        request={"application/json": takes} if takes is not None else None,
        responses=responses,
        parameters=list(query),
        examples=[
            OpenApiExample(name, value=value, request_only=True)
            for name, value in (examples or {}).items()
        ],
        methods=methods,
    )


def answer(name: str, **fields: serializers.Field[Any, Any, Any, Any]) -> Any:
    """A serializer for an answer that stands nowhere else."""
    return inline_serializer(name, dict(fields))


def canonical_paths(endpoints: list[Any]) -> list[Any]:
    """Every route once and without a trailing slash; both forms are answered."""
    return [
        (path.rstrip("/"), regex, method, view)
        for path, regex, method, view in endpoints
        if path.startswith("/api/")
    ]


def bodies_of_reads(
    result: dict[str, Any], generator: Any, request: Any, public: bool
) -> dict[str, Any]:
    """Add what the generator leaves out: the bodies of DELETE, and the event stream."""
    removal = result["paths"].get("/api/config/folders", {}).get("delete")
    if removal is not None:
        removal["requestBody"] = {
            "content": {"application/json": {"schema": _FOLDER_PATHS}},
            "required": True,
        }
    result["paths"]["/api/events"] = {"get": _EVENTS}
    result["paths"] = dict(sorted(result["paths"].items()))
    return result


_FOLDER_PATHS: Final[dict[str, Any]] = {
    "type": "object",
    "title": "FolderPaths",
    "properties": {
        "folderPaths": {
            "type": "array",
            "items": {"type": "string", "minLength": 1, "maxLength": 4096},
            "minItems": 1,
        }
    },
    "required": ["folderPaths"],
}

_EVENTS: Final[dict[str, Any]] = {
    "operationId": "events",
    "summary": "Follow what happens on this server",
    "description": (
        "A stream of server-sent events without end. Each message is a JSON object with `type` "
        "(modelStatus, logData, metrics, downloadProgress, engineProgress, configProgress, "
        "queue or notice) and `data`, a string that holds JSON itself."
    ),
    "tags": ["events"],
    "responses": {
        "200": {
            "description": "The stream.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }
    },
}
