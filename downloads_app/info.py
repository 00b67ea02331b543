"""A download as clients of the API and of the event stream read it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.db.models import QuerySet

from downloads_app import places
from downloads_app.models import Download


def rows() -> QuerySet[Download]:
    """Downloads with all that is told of them."""
    return Download.objects.prefetch_related("files")


def of_event(download: Download) -> dict[str, Any]:
    """With `speed` in bytes per second and `eta` in seconds, as the event stream has them."""
    return {**_common(download), "speed": download.speed, "eta": seconds_left(download)}


def of_reply(download: Download) -> dict[str, Any]:
    """With `speed` and `eta` in words, as the REST replies have them, and numbers beside them."""
    seconds = seconds_left(download)
    return {
        **_common(download),
        "speed": f"{rate_in_words(download.speed)}",
        "eta": time_in_words(seconds) if download.speed else "",
        "speedBytesPerSecond": download.speed,
        "etaSeconds": seconds,
    }


def table(downloads: Iterable[Download]) -> dict[str, dict[str, Any]]:
    """Downloads by their id, as the list of them is answered."""
    return {download.key: of_reply(download) for download in downloads}


def progress(download: Download) -> float:
    """Percent that are here; -1 while the size is not known."""
    if download.status == Download.Status.COMPLETED:
        return 100.0
    if not download.total_bytes:
        return -1.0
    return round(min(100.0, 100 * download.done_bytes / download.total_bytes), 1)


def rate_in_words(rate: int) -> str:
    """Such as "15.2 MB/s"."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if rate >= size:
            return f"{rate / size:.1f} {unit}/s"
    return f"{rate} B/s"


def time_in_words(seconds: int) -> str:
    """Such as "2m 15s"."""
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    if hours:
        return f"{hours}h {minutes}m"
    return f"{minutes}m {seconds}s" if minutes else f"{seconds}s"


def _common(download: Download) -> dict[str, Any]:
    files = list(download.files.all())
    first = files[0] if files else None
    done, total = download.done_bytes, download.total_bytes or 0
    return {
        "id": download.key,
        "modelId": download.model_id,
        "filename": first.name if first else "",
        "url": first.url if first else "",
        "status": download.status,
        "phase": download.phase,
        "progress": progress(download),
        "downloadedBytes": done,
        "bytesDownloaded": done,
        "totalBytes": total,
        "estimatedTimeRemaining": seconds_left(download),
        "startTime": (download.started_at or download.created_at).isoformat(),
        "filePath": os.path.join(download.folder, first.name) if first else "",
        "retryCount": download.failures,
        "error": download.error,
        "errorCode": download.error_kind,
        "note": download.note,
        "connections": download.connections,
        "rateLimit": download.rate_limit,
        "position": download.position,
        "repository": download.repository,
        "quantization": download.quantization,
        "reusePath": download.reuse_path,
        "files": [
            {"filename": file.name, "size": file.size, "done": file.done, "verified": file.verified}
            for file in files
        ],
    }


def seconds_left(download: Download) -> int:
    """How long it still takes at its present speed; 0 when that cannot be told."""
    if not download.speed or not download.total_bytes:
        return 0
    return max(0, download.total_bytes - download.done_bytes) // download.speed


def destinations() -> dict[str, Any]:
    """The folders to choose from, as `download-destinations` answers."""
    found = []
    for place in places.places():
        if place.default:
            Path(place.path).mkdir(parents=True, exist_ok=True)
        what = "Default ClaraCore download folder" if place.default else "Model folder"
        entry: dict[str, Any] = {
            "path": place.path,
            "name": place.name,
            "type": "default" if place.default else "folder",
            "enabled": True,
            "modelCount": place.models,
            "description": f"{what} ({place.models} models)",
        }
        if not place.default:
            entry["lastScanned"] = place.last_scanned_at and place.last_scanned_at.isoformat()
        found.append(entry)
    return {"destinations": found, "count": len(found)}
