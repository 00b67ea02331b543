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

from models_app.access import keeps_within_reach, needs, rights_of
from models_app.rights import Rights, Scope
from models_app.within_reach import looked_after
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
@keeps_within_reach
@require_safe
def logs(request: HttpRequest) -> HttpResponse:
    """The page, with `?source=` one of the sources."""
    rights = rights_of(request)
    # The server's own tell of all models.
    server = _OF_SERVER if rights.manages_all else ()
    engines = _engines(rights)
    known = {source.name: source for source in (*server, *engines)}
    usual = next(iter(known.values()), NOTHING)
    asked = request.GET.get("source", usual.name)
    chosen = known.get(asked, usual)
    context = {
        "server": server,
        "engines": engines,
        "chosen": chosen,
        "missing": asked if asked not in known else "",
        "text": "" if chosen is NOTHING else _end_of(chosen.name),
        "download": _download_address(chosen),
    }
    return render(request, "ui/logs/logs.html", context)


_OF_SERVER: Final = (
    Source(SERVER, _("The server")),
    Source(ENGINES, _("All engines")),
    Source(BOTH, _("Everything")),
)


NOTHING: Final = Source("", "")
"""For who looks after models of which none was ever loaded."""


def _engines(rights: Rights) -> list[Source]:
    """The served models, of those that somebody looks after, whose engines were ever started."""
    may_see = looked_after(rights)
    found = []
    try:
        models = [one["id"] for one in questions.ask("statuses")]
    except NotServing:
        return []
    for model in filter(may_see, models):
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
    if source in _OF_SERVER or source is NOTHING:
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
