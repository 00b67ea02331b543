"""Builds of llama-server: which is used, which there are, and changing that."""

from __future__ import annotations

import time
from typing import Any

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from downloads_app.api import engine_shapes as shapes
from downloads_app.engines import current, orders
from models_app import engine_installs, live
from models_app.access import needs
from models_app.api.bodies import number, read, truth
from models_app.api.errors import ApiError
from models_app.api.schema import WAIT, described
from models_app.engine_build import EngineProblem
from models_app.engine_installs import NotPossible
from models_app.models import EngineBuild, EngineInstall
from models_app.rights import Scope

Status = EngineInstall.Status

POLL_SECONDS = 0.1
LONGEST_WAIT = 3600.0
UPDATE_SECONDS = 900.0
TRIAL_SECONDS = 120.0
NO_WORKER_SECONDS = 30.0

_FORCE = OpenApiParameter(
    "force", OpenApiTypes.STR, enum=["0", "1", "true", "false"], description="As update/force."
)


# ---- As clients of the document know it ------------------------------------------------------


@needs(Scope.MANAGE)
@described(
    "binary_status",
    "Which llama-server is used, and whether there is a newer one",
    tag="engines",
    answers=shapes.BinaryStatus,
)
@api_view(["GET"])
def binary_status(request: Request) -> Response:
    """Which llama-server is used, and whether there is a newer one. Always 200."""
    return Response(current.status())


@needs(Scope.ADMIN)
@described(
    "update_binary",
    "Install the newest llama-server and use it",
    tag="engines",
    answers=shapes.BinaryUpdated,
    errors=(400, 409, 500, 502, 503),
    query=[_FORCE, WAIT],
    about="The old one is used until the new one has passed a trial run, and stays installed. "
    "Loaded models restart with the new one once they are idle.",
)
@api_view(["POST"])
def update(request: Request) -> Response:
    """Install the newest llama-server and use it, unless it is used already."""
    return _update(request, force=truth(request, "force"))


@needs(Scope.ADMIN)
@described(
    "force_update_binary",
    "Install the newest llama-server once more and use it",
    tag="engines",
    answers=shapes.BinaryUpdated,
    errors=(400, 409, 500, 502, 503),
    query=[WAIT],
)
@api_view(["POST"])
def force_update(request: Request) -> Response:
    """Install the newest llama-server once more and use it."""
    return _update(request, force=True)


def _update(request: Request, *, force: bool) -> Response:
    seconds = number(request, "wait", UPDATE_SECONDS, LONGEST_WAIT)
    latest = current.newest(fresh=True)
    if not latest.version:
        raise ApiError(
            f"Failed to update binary: {latest.reason}",
            status=502,
            code="NO_RELEASE",
            details="Nothing was changed; the llama-server that was used is used on.",
        )
    version = _version_now()
    if not force and current.is_up_to_date(version, latest.version):
        return Response(
            {
                "status": "up-to-date",
                "message": "Binary is already up to date",
                "version": version,
                "skipReason": "same-version",
            }
        )
    try:
        engine_installs.check_may_change()
        row = orders.place(orders.Order(version=latest.version, activate=True))
    except NotPossible as error:
        raise _not_possible(error, "Failed to update binary: ") from error
    row = _settled(row, seconds)
    if row.status == Status.FAILED:
        raise ApiError(
            f"Failed to update binary: {row.reason}",
            status=500,
            code="UPDATE_FAILED",
            details="The llama-server that was used is used on.",
            engine=row.pk,
        )
    return Response(
        {
            "status": "updated",
            "message": "Binary updated successfully",
            "version": row.version,
            "type": row.backend,
            "path": row.binary,
            "wasForced": force,
        }
    )


def _version_now() -> str:
    try:
        now = current.current()
    except EngineProblem:
        return ""
    return now.version if now else ""


# ---- All builds ------------------------------------------------------------------------------


@needs(Scope.MANAGE)
@described(
    "list_engines",
    "Every installed build, and those on their way",
    tag="engines",
    answers=shapes.Engines,
)
@api_view(["GET"])
def everything(request: Request) -> Response:
    """Every installed build, and those on their way."""
    return Response(current.overview())


@needs(Scope.ADMIN)
@described(
    "install_engine",
    "Install a build beside the others",
    tag="engines",
    takes=shapes.InstallEngine,
    answers=shapes.OneEngine,
    errors=(409, 503),
    query=[WAIT],
    examples={
        "Newest": {"activate": True},
        "Without network": {"source": "archive", "path": "/srv/llama-b9000-bin-ubuntu-x64.tar.gz"},
    },
    about="Answers at once, or with `wait` when it is ready or has failed. It is tried with a tiny "
    "model before it is ready; with `activate` it is used from then on.",
)
@api_view(["POST"])
def install(request: Request) -> Response:
    """Install a build beside the others."""
    seconds = number(request, "wait", 0.0, LONGEST_WAIT)
    fields = read(request, shapes.InstallEngine, optional=True)
    order = orders.Order(
        source=fields.get("source") or EngineInstall.Source.RELEASE,
        origin=fields.get("path", "").strip(),
        version=fields.get("version", "").strip(),
        backend=fields.get("backend") or "",
        activate=fields.get("activate", False),
    )
    try:
        if order.activate:
            engine_installs.check_may_change()
        row = orders.place(order)
    except NotPossible as error:
        raise _not_possible(error) from error
    if seconds:
        row = _settled(row, seconds)
    return _one(row)


@needs(Scope.ADMIN)
@described(
    "activate_engine",
    "Use an installed build",
    tag="engines",
    takes=shapes.NamesEngine,
    answers=shapes.OneEngine,
    errors=(404, 409, 503),
    query=[WAIT],
    about="It is tried first; when it fails, the one in use stays and `reason` tells why. Loaded "
    "models restart with it once they are idle.",
)
@api_view(["POST"])
def activate(request: Request) -> Response:
    """Use an installed build, once it has passed a trial run."""
    seconds = number(request, "wait", TRIAL_SECONDS, LONGEST_WAIT)
    row = _found(read(request, shapes.NamesEngine)["id"])
    try:
        engine_installs.ask_to_activate(row)
    except NotPossible as error:
        raise _not_possible(error) from error
    return _one(_settled(row, seconds))


@needs(Scope.ADMIN)
@described(
    "roll_back_engine",
    "Use the build again that was used before",
    tag="engines",
    answers=shapes.OneEngine,
    errors=(400, 409, 503),
    query=[WAIT],
    about="`engine` is null when that is the program on PATH or of the Python package.",
)
@api_view(["POST"])
def rollback(request: Request) -> Response:
    """Use the build again that was used before, once it has passed a trial run."""
    seconds = number(request, "wait", TRIAL_SECONDS, LONGEST_WAIT)
    try:
        row = engine_installs.ask_to_go_back()
    except NotPossible as error:
        raise _not_possible(error) from error
    if row is None:
        _wait_until_used(seconds)
        return Response({"status": "default", "engine": None})
    return _one(_settled(row, seconds))


@needs(Scope.ADMIN)
@described(
    "prune_engines",
    "Remove builds that nothing needs",
    tag="engines",
    answers=shapes.PrunedEngines,
    about="The active one, the one before it, and those that a model is pinned to stay.",
)
@api_view(["POST"])
def prune(request: Request) -> Response:
    """Remove every build but the active one, the one before it, and those that are pinned."""
    return Response({"status": "pruned", "removed": [str(row) for row in orders.prune()]})


@needs(Scope.ADMIN)
@described(
    "remove_engine",
    "Remove an installed build",
    tag="engines",
    answers=shapes.OneEngine,
    errors=(404, 409),
)
@api_view(["DELETE"])
def remove(request: Request, pk: int) -> Response:
    """Remove an installed build with its files."""
    row = _found(pk)
    told = current.told(row)
    try:
        orders.remove(row)
    except NotPossible as error:
        raise _not_possible(error) from error
    return Response({"status": "removed", "engine": told})


def _one(row: EngineInstall) -> Response:
    return Response({"status": row.status, "engine": current.told(row)})


def _found(pk: int) -> EngineInstall:
    row = EngineInstall.objects.filter(pk=pk).first()
    if row is None:
        raise ApiError(
            f"There is no engine {pk}. /api/engines lists those there are.",
            status=404,
            code="NOT_FOUND",
        )
    return row


def _not_possible(error: NotPossible, before: str = "") -> ApiError:
    return ApiError(f"{before}{error}", status=409, code="NOT_POSSIBLE")


def _settled(row: EngineInstall, seconds: float) -> EngineInstall:
    """The row once it is ready or has failed. Raises ApiError 503 when that takes longer."""
    deadline = time.monotonic() + seconds
    while True:
        found = EngineInstall.objects.filter(pk=row.pk).first()
        if found is None:
            raise ApiError(f"{row} was removed meanwhile.", status=409, code="REMOVED")
        if found.status in (Status.READY, Status.FAILED):
            if found.active:
                _wait_until_used(deadline - time.monotonic())
            return found
        waits: Any = (timezone.now() - found.created_at).total_seconds()
        if found.status == Status.QUEUED and not found.attempts and waits > NO_WORKER_SECONDS:
            raise ApiError(
                "No worker does background work now. Is the Celery worker running? The build is "
                "installed when one comes.",
                status=503,
                code="WORKER_GONE",
                engine=row.pk,
            )
        if time.monotonic() >= deadline:
            raise ApiError(
                f"It was not done within {seconds:g} s. It goes on: follow it at /api/engines.",
                status=503,
                code="NOT_DONE_YET",
                engine=row.pk,
            )
        time.sleep(POLL_SECONDS)


def _wait_until_used(seconds: float) -> None:
    """Return once commands are made with the active build, or after `seconds`."""
    deadline = time.monotonic() + seconds
    try:
        located = engine_installs.locate()
    except EngineProblem:
        return
    planned = EngineBuild.objects.filter(active=True, path=str(located.path)) if located else None
    while planned is not None and not planned.exists() and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    live.catch_up()
