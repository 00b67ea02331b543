"""Which builds of llama-server there are, and which one is used.

A build becomes active only when the process that owns the engines has tried it (`TRYING`); until
then the old one stays. Nothing here deletes a file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from models_app import engine_build
from models_app.engine_build import Located
from models_app.models import EngineBuild, EngineInstall, ServedModel

Status = EngineInstall.Status

BACK = "back"
"""The phase of one that is tried in order to go back to it."""


class NotPossible(Exception):
    """What was asked of a build cannot be done now; the text says why and what to do."""


def active() -> EngineInstall | None:
    """The installed build that is in use; None while the program of PATH or the package is."""
    return EngineInstall.objects.filter(active=True).first()


def locate() -> Located | None:
    """The binary to use: CLARACORE_LLAMA_SERVER, the active build, PATH, the Python package.

    Raises `EngineProblem` as `engine_build.locate` does.
    """
    row = None if settings.CLARACORE_LLAMA_SERVER else active()
    if row is not None and Path(row.binary).is_file():
        return located(row)
    return engine_build.locate()


def located(row: EngineInstall) -> Located:
    return Located(Path(row.binary), f"the installed build {row}")


def active_key() -> int | None:
    """Tells one active build from another."""
    return EngineInstall.objects.filter(active=True).values_list("pk", flat=True).first()


# ---- Trial runs, by the owner of the engines -------------------------------------------------


def next_to_try() -> EngineInstall | None:
    """The build that waits longest for its trial run."""
    return EngineInstall.objects.filter(status=Status.TRYING).order_by("pk").first()


def passed(row: EngineInstall, answers: engine_build.Answers) -> bool:
    """It works; whether it has become the active one by that."""
    with transaction.atomic():
        build = engine_build.keep(answers)
        changed = EngineInstall.objects.filter(pk=row.pk, status=Status.TRYING).update(
            status=Status.READY, build=build, tried_at=timezone.now(), reason="", phase=""
        )
        wanted = EngineInstall.objects.filter(pk=row.pk, wanted=True).update(wanted=False)
        if not changed or not wanted:
            return False
        _activate(row)
    return True


def failed(row: EngineInstall, reason: str) -> None:
    """It does not work; what was active stays."""
    EngineInstall.objects.filter(pk=row.pk, status=Status.TRYING).update(
        status=Status.FAILED, reason=reason, tried_at=timezone.now(), wanted=False, phase=""
    )


def _activate(row: EngineInstall) -> None:
    before = active()
    values: dict[str, Any] = {"active": True, "activated_at": timezone.now()}
    if row.phase != BACK and before != row:
        values["previous"] = before
    if before is not None:
        EngineInstall.objects.filter(pk=before.pk).update(active=False)
    EngineInstall.objects.filter(pk=row.pk).update(**values)


# ---- What a person asks for ------------------------------------------------------------------


def ask_to_activate(row: EngineInstall, phase: str = "") -> None:
    """Have it tried, and used if it passes. Raises NotPossible."""
    check_may_change()
    if row.active:
        raise NotPossible(f"{row} is the active build already.")
    if not row.binary:
        raise NotPossible(f"{row} is not installed ({row.get_status_display()}). {row.reason}")
    won = EngineInstall.objects.filter(
        pk=row.pk, status__in=(Status.READY, Status.FAILED, Status.TRYING)
    ).update(status=Status.TRYING, wanted=True, reason="", phase=phase)
    if not won:
        raise NotPossible(f"{row} is {row.get_status_display()}. Wait until it is ready.")


def ask_to_go_back() -> EngineInstall | None:
    """Have the build tried that was active before, and used if it passes.

    None when that is the program of PATH or the package, which is used from now on. Raises
    NotPossible.
    """
    check_may_change()
    now = active()
    if now is None:
        raise NotPossible("No installed build is active, so there is nothing to go back from.")
    if now.previous is not None:
        ask_to_activate(now.previous, BACK)
        return now.previous
    try:
        default = engine_build.locate()
    except engine_build.EngineProblem as error:
        raise NotPossible(str(error)) from error
    if default is None:
        raise NotPossible(
            f"Before {now} there was no llama-server, and there is none on PATH. Install another "
            "one and activate that."
        )
    EngineInstall.objects.filter(pk=now.pk).update(active=False)
    return None


def check_may_change() -> None:
    """Raises NotPossible where the environment says which one is used."""
    if settings.CLARACORE_LLAMA_SERVER:
        raise NotPossible(
            f"CLARACORE_LLAMA_SERVER says that {settings.CLARACORE_LLAMA_SERVER} is used. "
            "Start the server without it to choose among installed builds."
        )


# ---- What may go -----------------------------------------------------------------------------


def why_kept(row: EngineInstall) -> str:
    """Why it must not be removed now; "" when it may be."""
    if row.active:
        return "it is the active one"
    if row.status in (Status.RUNNING, Status.TRYING):
        return f"it is {row.get_status_display()}"
    if row.build_id and (pinned := list(_pinned_to(row)[:3])):
        return f"a model is pinned to it: {', '.join(pinned)}"
    return ""


def is_previous(row: EngineInstall) -> bool:
    """Whether going back would lead to it."""
    return EngineInstall.objects.filter(active=True, previous=row).exists()


def _pinned_to(row: EngineInstall) -> Any:
    return ServedModel.objects.filter(engine_id=row.build_id).values_list("model_id", flat=True)


def forget(row: EngineInstall) -> None:
    """Remove the rows, once the files are gone."""
    with transaction.atomic():
        if row.build_id and row.folder:
            EngineBuild.objects.filter(pk=row.build_id, active=False).delete()
        EngineInstall.objects.filter(pk=row.pk).delete()


def pinned_builds() -> list[EngineBuild]:
    """Those that a model is pinned to."""
    return list(EngineBuild.objects.filter(pinned_by__isnull=False).distinct())
