"""Starting, watching and steering downloads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from downloads_app import control, info, orders, queue
from downloads_app.api import shapes
from downloads_app.models import Download, DownloadSettings
from downloads_app.sources import huggingface
from downloads_app.sources.picking import NothingFits, order_for
from downloads_app.trouble import Trouble
from models_app.access import needs
from models_app.api import bodies
from models_app.api.errors import ApiError
from models_app.api.schema import described
from models_app.rights import Scope

Body = Mapping[str, Any]


@needs(Scope.MANAGE)
@described(
    "start_download",
    "Start a download",
    tag="downloads",
    takes=shapes.StartDownload,
    answers=shapes.Started,
    errors=(404, 502, 503),
)
@api_view(["POST"])
def start(request: Request) -> Response:
    """Start a download: of one address, of several files of a repository, or of a quantization."""
    fields = bodies.read(request, shapes.StartDownload)
    try:
        if fields.get("isMultiPart") and fields.get("files"):
            return _start_parts(fields, fields["files"])
        if not fields.get("url") and fields.get("quantization"):
            return _start_pick(fields)
        return _start_one(fields)
    except orders.BadOrder as error:
        raise ApiError(str(error)) from error


def _start_one(fields: Body) -> Response:
    url = fields.get("url", "").strip()
    if not url:
        raise ApiError(
            "URL is required", details="Or name a repository as modelId with a quantization."
        )
    filename = fields.get("filename", "").strip() or orders.name_of(url)
    download = orders.place(_order(fields, [orders.Item(url, filename)]))
    return Response(
        {
            "downloadId": download.key,
            "status": "download started",
            "modelId": fields.get("modelId", "").strip(),
            "filename": filename,
        }
    )


def _start_parts(fields: Body, files: list[str]) -> Response:
    repository = fields.get("modelId", "").strip()
    try:
        items = [
            orders.Item(huggingface.file_url(repository, path), path.rpartition("/")[2])
            for path in files
        ]
    except ValueError as error:
        raise ApiError(str(error)) from error
    quantization = fields.get("quantization", "").strip()
    download = orders.place(_order(fields, items, repository, quantization))
    return Response(
        {
            "downloadIds": [download.key],
            "downloadId": download.key,
            "status": "multi-part download started",
            "modelId": repository,
            "quantization": quantization,
            "partCount": len(files),
        }
    )


def _start_pick(fields: Body) -> Response:
    """A quantization of a repository, looked up on the hub with its projector."""
    repository = fields.get("repository", "").strip() or fields.get("modelId", "").strip()
    try:
        wanted = order_for(
            repository,
            fields.get("quantization", "").strip(),
            token=fields.get("hfApiKey", "").strip(),
            projector=fields.get("includeProjector", False),
        )
    except NothingFits as error:
        raise ApiError(str(error), status=404, code="NOT_FOUND") from error
    except Trouble as trouble:
        raise of_trouble(trouble) from trouble
    order = _order(fields, wanted.items, repository, wanted.quantization, wanted.subfolder)
    download = orders.place(order)
    return Response(
        {
            "downloadId": download.key,
            "downloadIds": [download.key],
            "status": "download started",
            "modelId": download.model_id,
            "filename": wanted.items[0].name,
            "quantization": wanted.quantization,
            "partCount": len(wanted.items),
        }
    )


def _order(
    fields: Body,
    items: Sequence[orders.Item],
    repository: str = "",
    quantization: str = "",
    subfolder: str | None = None,
) -> orders.Order:
    return orders.Order(
        items=items,
        model_id=fields.get("modelId", "").strip(),
        folder=fields.get("destinationPath", "").strip(),
        subfolder=quantization if subfolder is None else subfolder,
        repository=repository,
        quantization=quantization,
        token=fields.get("hfApiKey", "").strip(),
        reuse=fields.get("reuse", False),
        rate_limit=fields.get("rateLimit", 0),
    )


@needs(Scope.MANAGE)
@described(
    "cancel_download",
    "End a download",
    tag="downloads",
    takes=shapes.NamesDownload,
    answers=shapes.Done,
    errors=(404,),
)
@api_view(["POST"])
def cancel(request: Request) -> Response:
    """End a download and throw its parts away; one that is over stays as it is."""
    key = bodies.read(request, shapes.NamesDownload)["downloadId"]
    control.cancel(_found(key))
    return Response({"status": "download cancelled", "downloadId": key})


@needs(Scope.MANAGE)
@described(
    "list_downloads",
    "All downloads, by their ids",
    tag="downloads",
    answers={
        "type": "object",
        "additionalProperties": {"$ref": "#/components/schemas/DownloadInfo"},
    },
)
@api_view(["GET"])
def everything(request: Request) -> Response:
    """All downloads, by their ids."""
    return Response(info.table(info.rows()))


@needs(Scope.MANAGE)
@described(
    "get_download",
    "How a download gets on",
    tag="downloads",
    answers=shapes.DownloadInfo,
    errors=(404,),
)
@api_view(["GET"])
def one(request: Request, key: str) -> Response:
    """How one download gets on."""
    return Response(info.of_reply(_found(key)))


@needs(Scope.MANAGE)
@described(
    "pause_download",
    "Stop a download and keep what is here",
    tag="downloads",
    answers=shapes.Done,
    errors=(404,),
)
@api_view(["POST"])
def pause(request: Request, key: str) -> Response:
    """Stop a download; what is here stays."""
    control.pause(_found(key))
    return Response({"status": "download paused", "downloadId": key})


@needs(Scope.MANAGE)
@described(
    "resume_download",
    "Let a paused or failed download go on",
    tag="downloads",
    answers=shapes.Done,
    errors=(404, 409),
)
@api_view(["POST"])
def resume(request: Request, key: str) -> Response:
    """Let a paused or failed download go on."""
    try:
        control.resume(_found(key))
    except control.NotResumable as error:
        raise ApiError(str(error), status=409, code="CONFLICT") from error
    return Response({"status": "download resumed", "downloadId": key})


@needs(Scope.MANAGE)
@described(
    "reuse_file",
    "Take the same content from where it is on this machine",
    tag="downloads",
    answers=shapes.Done,
    errors=(404, 409),
)
@api_view(["POST"])
def reuse(request: Request, key: str) -> Response:
    """Take the same content from where it is on this machine already."""
    download = _found(key)
    if download.status in (Download.Status.COMPLETED, Download.Status.CANCELLED):
        text = f"The download is {download.get_status_display()}. Start it again instead."
        raise ApiError(text, status=409, code="CONFLICT")
    control.agree_to_reuse(download)
    return Response({"status": "download resumed", "downloadId": key})


@needs(Scope.MANAGE)
@described(
    "reorder_downloads",
    "Let waiting downloads start in another order",
    tag="downloads",
    takes=shapes.Order,
    answers=shapes.Order,
    errors=(404,),
)
@api_view(["POST"])
def reorder(request: Request) -> Response:
    """Let waiting downloads start in the order of `downloadIds`."""
    keys = bodies.read(request, shapes.Order)["downloadIds"]
    unknown = set(keys) - set(Download.objects.filter(key__in=keys).values_list("key", flat=True))
    if unknown:
        raise ApiError(f"There is no download {sorted(unknown)[0]}.", status=404, code="NOT_FOUND")
    queue.reorder(keys)
    waiting = Download.objects.filter(status=Download.Status.PENDING)
    return Response({"downloadIds": list(waiting.values_list("key", flat=True))})


@needs(Scope.MANAGE)
@described(
    "get_download_limits",
    "How downloads share the line",
    tag="downloads",
    answers=shapes.Limits,
    methods=["GET"],
)
@needs(Scope.MANAGE)
@described(
    "set_download_limits",
    "Change how downloads share the line",
    tag="downloads",
    takes=shapes.SetLimits,
    answers=shapes.Limits,
    errors=(404,),
    methods=["POST"],
)
@api_view(["GET", "POST"])
def limits(request: Request) -> Response:
    """The limits for all downloads, or, with a `downloadId`, for one. They count at once."""
    if request.method == "POST":
        _set_limits(bodies.read(request, shapes.SetLimits))
    row = DownloadSettings.current()
    return Response(
        {"rateLimit": row.rate_limit, "atOnce": row.at_once, "connections": row.connections}
    )


def _set_limits(fields: Body) -> None:
    rate = fields.get("rateLimit")
    if key := fields.get("downloadId", "").strip():
        if rate is None:
            raise ApiError("rateLimit is required: bytes per second, 0 for none.")
        control.limit(_found(key), rate)
        return
    row = DownloadSettings.current()
    for name, column in _LIMITS.items():
        value = fields.get(name)
        if value is not None:
            setattr(row, column, value)
    try:
        row.full_clean()
    except ValidationError as error:
        names = {column: name for name, column in _LIMITS.items()}
        column, problems = next(iter(error.message_dict.items()))
        raise ApiError(f"{names.get(column, column)}: {problems[0]}") from error
    row.save(update_fields=list(_LIMITS.values()))
    queue.hint()


_LIMITS = {"rateLimit": "rate_limit", "atOnce": "at_once", "connections": "connections"}


@needs(Scope.MANAGE)
@described(
    "list_download_destinations",
    "The folders that downloads may go to",
    tag="downloads",
    answers=shapes.Destinations,
)
@api_view(["GET"])
def destinations(request: Request) -> Response:
    """The folders that downloads may go to."""
    return Response(info.destinations())


def of_trouble(trouble: Trouble) -> ApiError:
    """The hub's trouble as an error of ours: 404 and 403 as they are, else 502."""
    status = {"not_found": 404, "sign_in": 403, "forbidden": 403, "busy": 503}.get(trouble.kind)
    host = urlsplit(settings.CLARACORE_HF_ENDPOINT).hostname or "the hub"
    return ApiError(
        trouble.message, status=status or 502, code=trouble.kind.upper(), details=f"Asked {host}."
    )


def _found(key: str) -> Download:
    download = info.rows().filter(key=key).first()
    if download is None:
        raise ApiError("download not found", status=404, code="NOT_FOUND", details=key[:200])
    return download
