"""Tells revisions and the audit log which page or REST call changed what, and who used it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from django.contrib import admin
from django.http import HttpRequest, HttpResponseBase

from models_app import audit, dry_runs
from models_app.access import needed_by, rights_of
from models_app.causes import told
from models_app.rights import Scope
from proxy_app.keys import Caller

_SAFE: Final = ("GET", "HEAD", "OPTIONS", "TRACE")
_BEFORE: Final = "_state_before"


class ChangeAuthorMiddleware:
    """Stands behind the rights. Requests that only read are let through untouched."""

    sync_capable = True
    async_capable = False

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.method in _SAFE:
            return self._get_response(request)
        cause = _cause(request)
        with told(cause, rights_of(request).name):
            response = self._get_response(request)
        before: audit.State | None = getattr(request, _BEFORE, None)
        if before is not None and not 400 <= response.status_code < 500:
            status = response.status_code
            end = f" (answered {status})" if status >= 500 else ""
            _write_down(request, cause + end, before)
        return response

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: Any, kwargs: Any
    ) -> None:
        """Look at what is chosen, once it is known that the view runs: a look costs queries."""
        if request.method not in _SAFE and _may_change(request):
            setattr(request, _BEFORE, audit.state())


def _may_change(request: HttpRequest) -> bool:
    """False for whom the view turns away by itself, as the admin does."""
    match = request.resolver_match
    if match is not None and match.app_name == "admin":
        return admin.site.has_permission(request)
    return bool(rights_of(request).scopes)


def _write_down(request: HttpRequest, cause: str, before: audit.State) -> None:
    """What was changed; also an act that changed no choice, if it took a right to do it.

    One that failed here (5xx) may have begun: a load that came to nothing has unloaded others, and
    a scan that nobody waits for goes on.
    """
    caller: Caller = request.caller  # type: ignore[attr-defined]
    key_id, address = caller.key_id or 0, request.META.get("REMOTE_ADDR") or ""
    is_noted = audit.note_changes(before, cause, caller.rights, key_id=key_id, address=address)
    match = request.resolver_match
    if is_noted or match is None or dry_runs.is_marked(request):
        return
    if needed_by(match.func, request.method or "") in (Scope.MANAGE, Scope.ADMIN):
        audit.note(_kind(request), cause, caller.rights, key_id=key_id, address=address)


def _kind(request: HttpRequest) -> str:
    """What an act without a lasting choice is about: downloads, server, models."""
    parts = [part for part in request.path.strip("/").split("/") if part not in ("api", "ui")]
    if "downloads" in parts or "download" in parts:
        return "downloads"
    if parts[:1] in (["binary"], ["engines"]):
        return "engines"
    if parts[:1] == ["admin"]:
        return parts[2] if len(parts) > 2 else "admin"
    return parts[0] if parts else "server"


def _cause(request: HttpRequest) -> str:
    """For example: admin, settings 1; PUT /api/config."""
    parts = request.path.strip("/").split("/")
    if parts[0] == "admin" and len(parts) > 2:
        action = request.POST.get("action", "").replace("_", " ")
        what = " ".join(part for part in (parts[2], *parts[3:5], action) if part)
        return f"admin: {what}"
    if parts[0] == "ui":
        return f"page {request.path}"
    return f"{request.method} {request.path}"
