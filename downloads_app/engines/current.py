"""What is used now, what there would be, and how the installed builds stand, as plain values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from downloads_app.engines import install, layout, releases
from downloads_app.engines.choose import order_of
from models_app import engine_build, engine_installs, hardware
from models_app.engine_build import EngineProblem, Located
from models_app.models import EngineBuild, EngineInstall, ServedModel

_NUMBER: Final = re.compile(r"b(\d+)")
_OWN_WORD: Final = re.compile(r"(\d{3,}) \(")
"""How a release's binary begins its version; one that was built from source begins otherwise."""


@dataclass(frozen=True, slots=True)
class Current:
    """The llama-server in use."""

    located: Located
    version: str
    """Such as "b9000"; "" when nobody knows."""
    backend: str
    row: EngineInstall | None


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest release with a build for this machine."""

    version: str
    """"" when it is not known."""
    backend: str
    """The best one for this machine, known also without network."""
    reason: str
    """Why the version is not known, or may be an old one; "" when it is."""


def current() -> Current | None:
    """None without a llama-server. Raises `EngineProblem`."""
    located = engine_installs.locate()
    if located is None:
        return None
    row = EngineInstall.objects.filter(binary=str(located.path)).order_by("-active", "-pk").first()
    version = row.version if row else ""
    if not version and located.package_version:
        version = install.version_of_wheel(located.package_version)
    if not version:
        build = EngineBuild.objects.filter(path=str(located.path)).first()
        found = _OWN_WORD.match(build.version) if build else None
        version = f"b{found.group(1)}" if found else ""
    backend = row.backend if row else layout.backend_of(located.path)
    return Current(located, version, backend, row)


def newest(*, fresh: bool = False) -> Newest:
    """It raises nothing: without network the version is the one known last, or ""."""
    return newest_of(releases.listing(fresh=fresh))


def newest_of(known: releases.Listing) -> Newest:
    """The newest one for this machine among releases that are known."""
    found = install.newest_fitting(known.releases)
    if found is not None:
        release, choice = found
        return Newest(release.tag, choice.backend, known.problem)
    machine = hardware.stored() or hardware.detect()
    best = order_of(machine, install.wished_backend())[0]
    reason = known.problem or "No release has a build for this machine."
    return Newest("", best, reason)


def is_up_to_date(version: str, latest: str) -> bool:
    """Whether `version` is `latest` or a later one."""
    ours, theirs = _NUMBER.fullmatch(version), _NUMBER.fullmatch(latest)
    if ours and theirs:
        return int(ours.group(1)) >= int(theirs.group(1))
    return bool(latest) and version == latest


def status() -> dict[str, Any]:
    """The answer of /api/binary/status."""
    try:
        now = current()
    except EngineProblem as error:
        return {"exists": False, "error": "Binary not found", "reason": str(error)}
    if now is None:
        reason = engine_build.NO_ENGINE_HELP
        return {"exists": False, "error": "Binary not found", "reason": reason}
    path = str(now.located.path)
    if not now.version:
        reason = f"It comes from {now.located.source} and does not tell which release it is of."
        return {
            "exists": True,
            "path": path,
            "hasMetadata": False,
            "error": "Metadata not found",
            "reason": reason,
        }
    latest = newest()
    up_to_date = is_up_to_date(now.version, latest.version)
    return {
        "exists": True,
        "path": path,
        "hasMetadata": True,
        "currentVersion": now.version,
        "currentType": now.backend,
        "latestVersion": latest.version,
        "optimalType": latest.backend,
        "isOptimal": now.backend == latest.backend,
        "isUpToDate": up_to_date,
        "updateAvailable": bool(latest.version) and not up_to_date,
        "reason": latest.reason,
    }


def overview() -> dict[str, Any]:
    """The answer of /api/engines."""
    used: dict[str, Any] | None = None
    problem = ""
    try:
        now = current()
        if now is not None:
            used = {
                "path": str(now.located.path),
                "source": now.located.source,
                "version": now.version,
                "backend": now.backend,
                "id": now.row.pk if now.row else None,
            }
    except EngineProblem as error:
        problem = str(error)
    rows = EngineInstall.objects.select_related("build")
    active = next((row for row in rows if row.active), None)
    return {
        "current": used,
        "problem": problem,
        "rollbackTo": active.previous_id if active else None,
        "engines": [told(row) for row in rows],
    }


def told(row: EngineInstall) -> dict[str, Any]:
    """One installed build, or one on its way."""
    pinned = ServedModel.objects.filter(engine_id=row.build_id) if row.build_id else None
    return {
        "id": row.pk,
        "version": row.version,
        "backend": row.backend,
        "source": row.source,
        "origin": row.origin,
        "state": row.status,
        "phase": row.phase,
        "active": row.active,
        "wanted": row.wanted,
        "previous": row.previous_id,
        "path": row.binary,
        "verified": row.verified,
        "files": row.files,
        "reason": row.reason,
        "note": row.note,
        "totalBytes": row.total_bytes,
        "doneBytes": row.done_bytes,
        "devices": row.build.devices if row.build else [],
        "pinnedBy": list(pinned.values_list("model_id", flat=True)) if pinned else [],
        "createdAt": row.created_at.isoformat(),
        "triedAt": row.tried_at.isoformat() if row.tried_at else None,
        "activatedAt": row.activated_at.isoformat() if row.activated_at else None,
    }
