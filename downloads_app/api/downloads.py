"""Starting, watching and steering downloads."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from downloads_app import control, info, orders, queue
from downloads_app.api.fields import Fields
from downloads_app.models import Download, DownloadSettings
from downloads_app.sources import huggingface
from downloads_app.sources.picking import NothingFits, order_for
from downloads_app.trouble import Trouble
from models_app.api.errors import ApiError


@api_view(["POST"])
def start(request: Request) -> Response:
    """Start a download: of one address, of several files of a repository, or of a quantization."""
    fields = Fields(request)
    files = fields.texts("files")
    try:
        if fields.flag("isMultiPart") and files:
            return _start_parts(fields, files)
        if not fields.text("url") and fields.text("quantization"):
            return _start_pick(fields)
        return _start_one(fields)
    except orders.BadOrder as error:
        raise ApiError(str(error)) from error


def _start_one(fields: Fields) -> Response:
    url = fields.text("url")
    if not url:
        raise ApiError(
            "URL is required", details="Or name a repository as modelId with a quantization."
        )
    filename = fields.text("filename") or orders.name_of(url)
    download = orders.place(_order(fields, [orders.Item(url, filename)]))
    return Response(
        {
            "downloadId": download.key,
            "status": "download started",
            "modelId": fields.text("modelId"),
            "filename": filename,
        }
    )


def _start_parts(fields: Fields, files: list[str]) -> Response:
    repository = fields.text("modelId")
    try:
        items = [
            orders.Item(huggingface.file_url(repository, path), path.rpartition("/")[2])
            for path in files
        ]
    except ValueError as error:
        raise ApiError(str(error)) from error
    quantization = fields.text("quantization")
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


def _start_pick(fields: Fields) -> Response:
    """A quantization of a repository, looked up on the hub with its projector."""
    repository = fields.text("repository") or fields.text("modelId")
    try:
        wanted = order_for(
            repository,
            fields.text("quantization"),
            token=fields.text("hfApiKey"),
            projector=fields.flag("includeProjector"),
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
    fields: Fields,
    items: Sequence[orders.Item],
    repository: str = "",
    quantization: str = "",
    subfolder: str | None = None,
) -> orders.Order:
    return orders.Order(
        items=items,
        model_id=fields.text("modelId"),
        folder=fields.text("destinationPath"),
        subfolder=quantization if subfolder is None else subfolder,
        repository=repository,
        quantization=quantization,
        token=fields.text("hfApiKey"),
        reuse=fields.flag("reuse"),
        rate_limit=fields.number("rateLimit") or 0,
    )


@api_view(["POST"])
def cancel(request: Request) -> Response:
    """End a download and throw its parts away; one that is over stays as it is."""
    key = Fields(request).text("downloadId")
    if not key:
        raise ApiError("downloadId is required")
    control.cancel(_found(key))
    return Response({"status": "download cancelled", "downloadId": key})


@api_view(["GET"])
def everything(request: Request) -> Response:
    """All downloads, by their ids."""
    return Response(info.table(info.rows()))


@api_view(["GET"])
def one(request: Request, key: str) -> Response:
    """How one download gets on."""
    return Response(info.of_reply(_found(key)))


@api_view(["POST"])
def pause(request: Request, key: str) -> Response:
    """Stop a download; what is here stays."""
    control.pause(_found(key))
    return Response({"status": "download paused", "downloadId": key})


@api_view(["POST"])
def resume(request: Request, key: str) -> Response:
    """Let a paused or failed download go on."""
    try:
        control.resume(_found(key))
    except control.NotResumable as error:
        raise ApiError(str(error), status=409, code="CONFLICT") from error
    return Response({"status": "download resumed", "downloadId": key})


@api_view(["POST"])
def reuse(request: Request, key: str) -> Response:
    """Take the same content from where it is on this machine already."""
    download = _found(key)
    control.agree_to_reuse(download)
    return Response({"status": "download resumed", "downloadId": key})


@api_view(["POST"])
def reorder(request: Request) -> Response:
    """Let waiting downloads start in the order of `downloadIds`."""
    keys = Fields(request).texts("downloadIds")
    unknown = set(keys) - set(Download.objects.filter(key__in=keys).values_list("key", flat=True))
    if unknown:
        raise ApiError(f"There is no download {sorted(unknown)[0]}.", status=404, code="NOT_FOUND")
    queue.reorder(keys)
    waiting = Download.objects.filter(status=Download.Status.PENDING)
    return Response({"downloadIds": list(waiting.values_list("key", flat=True))})


@api_view(["GET", "POST"])
def limits(request: Request) -> Response:
    """The limits for all downloads, or, with a `downloadId`, for one. They count at once."""
    if request.method == "POST":
        _set_limits(Fields(request))
    row = DownloadSettings.current()
    return Response(
        {"rateLimit": row.rate_limit, "atOnce": row.at_once, "connections": row.connections}
    )


def _set_limits(fields: Fields) -> None:
    rate = fields.number("rateLimit")
    if key := fields.text("downloadId"):
        if rate is None:
            raise ApiError("rateLimit is required: bytes per second, 0 for none.")
        control.limit(_found(key), rate)
        return
    row = DownloadSettings.current()
    for name, column in _LIMITS.items():
        value = fields.number(name)
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
