"""Searching the hub, and looking at a repository with this machine in mind."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from downloads_app.api import shapes
from downloads_app.api.downloads import of_trouble
from downloads_app.sources import browsing, fit, huggingface, variants
from downloads_app.sources.huggingface import RepoFile
from downloads_app.sources.picking import NothingFits
from downloads_app.trouble import Trouble
from models_app.access import needs
from models_app.api.errors import ApiError
from models_app.api.schema import described
from models_app.rights import Scope

MOST_FOUND = 100


@needs(Scope.MANAGE)
@described(
    "search_hub",
    "Find models on the hub",
    tag="downloads",
    answers=shapes.HubFound,
    errors=(400, 404, 502, 503),
    query=[
        OpenApiParameter("q", OpenApiTypes.STR, required=True, description="What to look for."),
        OpenApiParameter("limit", OpenApiTypes.INT, description="Models at most; 30 if not said."),
    ],
)
@api_view(["GET"])
def search(request: Request) -> Response:
    """Repositories with GGUF files that `q` finds, the most downloaded first."""
    words = request.query_params.get("q", "").strip()
    if not words:
        raise ApiError("q is required: say what to look for.")
    limit = request.query_params.get("limit", "30")
    if not limit.isdecimal() or not 1 <= int(limit) <= MOST_FOUND:
        raise ApiError(f"limit must be between 1 and {MOST_FOUND}.")
    try:
        found = huggingface.search(words[:200], int(limit))
    except Trouble as trouble:
        raise of_trouble(trouble) from trouble
    return Response({"query": words, "models": [_summary(entry) for entry in found]})


@needs(Scope.MANAGE)
@described(
    "browse_hub",
    "A repository's quantizations, and what fits this machine",
    tag="downloads",
    answers=shapes.HubRepository,
    errors=(404, 502, 503),
    query=[
        OpenApiParameter(
            "quantization", OpenApiTypes.STR, description="The one whose own header is read."
        )
    ],
)
@api_view(["GET"])
def browse(request: Request, repository: str) -> Response:
    """A repository's quantizations with sizes, and whether each fits this machine.

    `quantization` names the one whose own header is read; the others are estimated from it.
    """
    try:
        found = browsing.browse(repository, request.query_params.get("quantization", ""))
    except NothingFits as error:
        raise ApiError(str(error), status=404, code="NOT_FOUND") from error
    except Trouble as trouble:
        raise of_trouble(trouble) from trouble
    facts = found.facts
    return Response(
        {
            **_summary(found.repository.info),
            "id": found.repository.name,
            "revision": found.repository.revision,
            "architecture": facts.architecture if facts else "",
            "kind": facts.kind.value if facts else "",
            "trainedContext": facts.context_length if facts else None,
            "problem": found.problem,
            "recommended": found.recommended.name if found.recommended else "",
            "quantizations": [
                _variant(variant, found.fits.get(variant.name)) for variant in found.variants
            ],
            "projectors": [_file(file) for file in found.projectors],
        }
    )


def _summary(entry: Any) -> dict[str, Any]:
    gated = entry.get("gated", False)
    return {
        "id": str(entry.get("id") or entry.get("modelId") or ""),
        "author": str(entry.get("author") or ""),
        "downloads": entry.get("downloads") or 0,
        "likes": entry.get("likes") or 0,
        "lastModified": entry.get("lastModified") or "",
        "gated": bool(gated),
        "private": bool(entry.get("private", False)),
        "tags": [tag for tag in entry.get("tags") or [] if isinstance(tag, str)],
    }


def _variant(variant: variants.Variant, found: fit.Fit | None) -> dict[str, Any]:
    return {
        "quantization": variant.name,
        "size": variant.size,
        "parts": len(variant.files),
        "missingParts": variant.missing,
        "files": [_file(file) for file in variant.files],
        "fits": found.fits if found else None,
        "context": found.context if found else None,
        "memoryBytes": found.total if found else None,
        "estimated": found.estimated if found else None,
    }


def _file(file: RepoFile) -> dict[str, Any]:
    return {"path": file.path, "size": file.size, "sha256": file.sha256}
