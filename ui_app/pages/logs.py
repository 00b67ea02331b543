"""Logs of the server and of each engine, live."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from models_app.access import needs
from models_app.rights import Scope
from proxy_app import questions
from proxy_app.engine_logs import LogTail
from proxy_app.errors import NotServing
from proxy_app.log_files import log_path

SERVER: Final = "proxy"
ENGINES: Final = "upstream"
BOTH: Final = ""

SHOWN_BYTES: Final = 64 * 1024
"""How much of the end is shown without JavaScript."""


@dataclass(frozen=True, slots=True)
class Source:
    """Something that writes a log."""

    name: str
    """As `/logs/stream/` has it: a model's id, or one of the names above."""
    label: str | Promise
    size: int = 0
    """Bytes of its file; 0 for what is kept in memory alone."""
    older_size: int = 0
    """Bytes of the file before."""


@needs(Scope.MANAGE)
@require_safe
def logs(request: HttpRequest) -> HttpResponse:
    """The page, with `?source=` one of the sources."""
    engines = _engines()
    asked = request.GET.get("source", SERVER)
    known = {source.name: source for source in (*_OF_SERVER, *engines)}
    chosen = known.get(asked) or known[SERVER]
    context = {
        "server": _OF_SERVER,
        "engines": engines,
        "chosen": chosen,
        "missing": asked if asked not in known else "",
        "text": _end_of(chosen.name),
        "download": _download_address(chosen),
    }
    return render(request, "ui/logs/logs.html", context)


_OF_SERVER: Final = (
    Source(SERVER, _("The server")),
    Source(ENGINES, _("All engines")),
    Source(BOTH, _("Everything")),
)


def _engines() -> list[Source]:
    """The served models whose engines were started at least once."""
    found = []
    try:
        models = [one["id"] for one in questions.ask("statuses")]
    except NotServing:
        return []
    for model in models:
        path = log_path(settings.CLARACORE_HOME, model)
        if path.exists():
            found.append(Source(model, model, _size(path), _size(_older(path))))
    return found


def _older(path: Path) -> Path:
    return path.with_name(path.name + ".1")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _download_address(source: Source) -> str:
    """Where its whole file is; empty for what is kept in memory alone."""
    if source in _OF_SERVER:
        return ""
    return f"/api/logs/{source.name}/download"


def _end_of(name: str) -> str:
    """The newest text, for those without JavaScript."""
    if name in (SERVER, ENGINES, BOTH):
        return _of_server()[-SHOWN_BYTES:]
    tail = LogTail(log_path(settings.CLARACORE_HOME, name), -SHOWN_BYTES)
    try:
        return tail.read()
    finally:
        tail.close()


def _of_server() -> str:
    try:
        return str(questions.ask("server_log"))
    except NotServing:
        return ""
