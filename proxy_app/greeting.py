"""What the console says at the start: where to go, and what was found."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

from django.conf import settings
from django.db import connection

from models_app.models import GgufFile, ModelFolder, ScanRun, ServedModel
from proxy_app.hosts import is_loopback_name

LISTED = 12
"""Models named one by one; more are counted."""

_POLL_SECONDS = 0.2


def opening(host: str, port: int) -> str:
    """The first lines: where to go, and what to do when there is nothing to serve yet."""
    place = f"http://{_place(host)}:{port}"
    lines = [
        "ClaraCore",
        f"  Web page   {place}/ui/",
        f"  Admin      {place}/admin/",
        f"  OpenAI API {place}/v1",
        "  Ctrl-C stops everything.",
    ]
    if not ModelFolder.objects.exists() and not ServedModel.objects.exists():
        lines += ["", *_NOTHING_YET]
    return "\n".join(lines)


INSECURE = (
    "INSECURE: everybody who reaches this port may do everything here, and so run programs on "
    "this machine, without account or key. Leave out --insecure to end that."
)


def first_administrator(host: str, port: int, token: str) -> str:
    """Where the first account is made; until then nobody is let in."""
    lines = [
        "Nobody has an account yet, so nobody is let in. Make the first administrator here, once "
        "and within an hour:",
        f"  http://{_place(host)}:{port}/ui/welcome/{token}/",
    ]
    if not _names():
        known_as = socket.gethostname() if host in _WILDCARDS else host
        lines += [
            "It answers to loopback names only. For other machines, start it with the names and "
            f"addresses that they use, for example CLARACORE_ALLOWED_HOSTS={known_as}",
        ]
    return "\n".join(lines)


_WILDCARDS = ("0.0.0.0", "::")


def _place(host: str) -> str:
    """What to call a server that listens on `host`, so that it answers to it where it can."""
    listens_on = f"[{host}]" if ":" in host else host
    names = _names()
    if host in _WILDCARDS:
        return names[0] if names else "localhost"
    if names and not is_loopback_name(host) and listens_on.lower() not in names:
        return names[0]
    return listens_on


def _names() -> list[str]:
    """The names besides loopback ones that the server answers to."""
    return [name for name in settings.ALLOWED_HOSTS if not is_loopback_name(name)]


_NOTHING_YET = (
    "No models yet. To get some:",
    "  * serve a folder of GGUF files:  make run MODELS=/path/to/folder",
    "  * or try the starter model:      make demo",
    "  * or add a folder in the admin and choose “Scan now”.",
)


def announce_scan_when_done(say: Callable[[str], None]) -> None:
    """Say what the newest scan found, once it ended, from a thread of its own.

    Without a scan, say what is known already.
    """
    run = ScanRun.objects.first()
    if run is None or run.status not in (ScanRun.Status.QUEUED, ScanRun.Status.RUNNING):
        if ServedModel.objects.exists():
            say(found("Serving"))
        return
    if ModelFolder.objects.exists():
        threading.Thread(
            target=_announce, args=(run.pk, say), name="scan announcement", daemon=True
        ).start()


def _announce(run_id: int, say: Callable[[str], None]) -> None:
    try:
        while True:
            run = ScanRun.objects.get(pk=run_id)
            if run.status == ScanRun.Status.FAILED:
                say(f"The scan failed: {run.problem}")
                return
            if run.status == ScanRun.Status.COMPLETED:
                say(found())
                return
            time.sleep(_POLL_SECONDS)
    finally:
        connection.close()


def found(verb: str = "Found") -> str:
    """The models that are served, and the files that cannot be."""
    served = list(
        ServedModel.objects.filter(enabled=True, file__state=GgufFile.State.OK).select_related(
            "file"
        )
    )
    lines = [f"{verb} {len(served)} model{'' if len(served) == 1 else 's'}:"]
    for model in served[:LISTED]:
        assert model.file is not None
        lines.append(f"  {model.model_id}  ({model.file.quantization}, {_size(model.file.size)})")
    if len(served) > LISTED:
        lines.append(f"  … and {len(served) - LISTED} more")
    broken = GgufFile.objects.exclude(state__in=(GgufFile.State.OK, GgufFile.State.VANISHED))
    lines += [f"  not served: {file.relative_path}: {file.problem}" for file in broken[:LISTED]]
    return "\n".join(lines)


def _size(count: float) -> str:
    for unit in ("B", "KB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
