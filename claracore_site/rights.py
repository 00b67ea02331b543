"""Gives every request that Django answers its rights, and asks for those that its view needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render, resolve_url
from django.utils.functional import SimpleLazyObject

from claracore_site.api_paths import is_api
from models_app import acting, people
from models_app.access import Open, is_open_to_limited, needed_by, rights_of
from models_app.rights import Scope
from proxy_app import sessions
from proxy_app.access_errors import KeyRequired, NotAllowed, OnlyForAllModels
from proxy_app.error_shapes import error_body
from proxy_app.errors import GatewayError
from proxy_app.key_guard import CALLER
from proxy_app.key_rows import read_ring
from proxy_app.keys import LOCAL, Caller
from proxy_app.serving import SERVING

_PAGES = ("/ui", "/admin")
_BY_QUERY = ("/api/events", "/api/logs")
_LOGIN = "ui-sign-in"


class RightsMiddleware:
    """Stands behind the authentication: sets `request.rights` and `request.caller`."""

    sync_capable = True
    async_capable = False

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        caller = _caller_of(request)
        request.caller = caller  # type: ignore[attr-defined]
        request.rights = caller.rights  # type: ignore[attr-defined]
        if caller is LOCAL and not request.user.is_authenticated:
            request.user = SimpleLazyObject(people.local_administrator)  # type: ignore[assignment]
        # Before it is known whether there is anything at the path: strangers need not know.
        if is_api(request.path) and not caller.rights.scopes:
            return _refused(request, KeyRequired())
        with acting.on_behalf_of(caller.rights):
            return self._get_response(request)

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: Any, kwargs: Any
    ) -> HttpResponseBase | None:
        match, method = request.resolver_match, request.method or "GET"
        rights = rights_of(request)
        manages_some = rights.may(Scope.MANAGE) and not rights.manages_all
        if match is not None and match.app_name == "admin":
            # It asks for itself, table by table; but its tables hold all models.
            return _refused(request, OnlyForAllModels()) if manages_some else None
        right = needed_by(view, method)
        if isinstance(right, Open):
            return None
        if not rights.may(right):
            return _refused(request, NotAllowed(right) if rights.scopes else KeyRequired())
        if manages_some and not is_open_to_limited(view, method):
            return _refused(request, OnlyForAllModels())
        return None


def for_templates(request: HttpRequest) -> dict[str, Any]:
    """A context processor: `rights`, and each scope that somebody has as `may.<scope>`."""
    rights = rights_of(request)
    return {"rights": rights, "may": {str(scope): rights.may(scope) for scope in Scope}}


def _caller_of(request: HttpRequest) -> Caller:
    """By key, else by session, else by sitting at this machine while nobody has an account."""
    caller: Caller | None = getattr(request, "scope", {}).get(CALLER)
    if caller is None:
        ring = SERVING.keys.ring or read_ring()
        by_query = request.path.startswith(_BY_QUERY)
        caller = SERVING.keys.caller_of(_as_scope(request), ring, from_query=by_query)
    if caller.key_id is None and isinstance(request.user, User):
        signed_in = sessions.of_user(request.user)
        if signed_in.rights.scopes:
            return signed_in
    return caller


def _as_scope(request: HttpRequest) -> dict[str, Any]:
    """What the guard would have been given, for servers in front of which there is none."""
    headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1", errors="replace"))
        for name, value in request.headers.items()
    ]
    # Never without a host: the test client and HTTP/1.0 send none.
    if not any(name == b"host" for name, _ in headers):
        headers.append((b"host", request.get_host().encode("latin-1")))
    return {
        "client": (request.META.get("REMOTE_ADDR") or "", 0),
        "headers": headers,
        "query_string": request.META.get("QUERY_STRING", "").encode("latin-1", errors="replace"),
    }


def _refused(request: HttpRequest, error: GatewayError) -> HttpResponse:
    if request.path.startswith(_PAGES):
        return _refused_page(request, error)
    response = HttpResponse(
        error_body(request.path, error), status=error.status, content_type="application/json"
    )
    for name, value in error.headers:
        response[name.decode()] = value.decode()
    return response


def _refused_page(request: HttpRequest, error: GatewayError) -> HttpResponse:
    if isinstance(error, KeyRequired):
        back = request.get_full_path() if request.method == "GET" else "/ui/"
        return HttpResponseRedirect(f"{resolve_url(_LOGIN)}?{urlencode({'next': back})}")
    return render(request, "ui/refused.html", {"reason": error.message}, status=error.status)
