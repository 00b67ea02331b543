"""Every route that the server answers, read from where the routes are declared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

from django.urls import URLPattern, URLResolver, get_resolver
from django.utils.regex_helper import normalize
from django.views.generic import RedirectView

from proxy_app import log_streams, paths
from proxy_app.strangers import WEBSOCKET

_HANDLED: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")

_AT_ENGINES: Final = ("", "health", *sorted(paths.ENGINE_SETTINGS | paths.ENGINE_TOOLS))

OUTSIDE_DJANGO: Final = (
    *(("POST", path) for path in paths.BY_BODY),
    *((method, path) for path in paths.BY_QUERY for method in _HANDLED),
    *((method, path) for path, method in paths.FIXED.items()),
    *(("GET", path) for path in ("/v1/models/1", "/upstream", "/favicon.ico", "/api/events")),
    *(("GET", path) for path in ("/logs", "/logs/stream", "/logs/stream/1")),
    *((method, f"/upstream/1/{path}") for path in _AT_ENGINES for method in _HANDLED),
    (WEBSOCKET, "/upstream/1/socket"),
)
"""What `claracore_site.asgi` sends elsewhere, and what the gateway takes."""

ROUTED: Final = (r"^/?api/events/?$", log_streams.PATHS, "")
"""The patterns of the router before Django; the last one leads to Django."""


class Route(NamedTuple):
    """A path with "1" for each of its variables, and a method that it knows."""

    path: str
    method: str


def samples(patterns: Iterable[Any], before: str = "/") -> Iterator[tuple[str, Any]]:
    """One path for each of Django's routes, with its view."""
    for pattern in patterns:
        for text, names in normalize(pattern.pattern.regex.pattern):
            path = before + text % dict.fromkeys(names, "1")
            if isinstance(pattern, URLResolver):
                yield from samples(pattern.url_patterns, path)
            elif isinstance(pattern, URLPattern):
                yield path, pattern.callback


def routes() -> list[Route]:
    """All of them, sorted."""
    found = {Route(path, method) for method, path in OUTSIDE_DJANGO}
    for path, view in samples(get_resolver().url_patterns):
        found.update(Route(path, method) for method in methods_of(view))
    return sorted(found)


def methods_of(view: Callable[..., Any]) -> list[str]:
    """What a view handles; of a function nobody can tell, so both that there are on pages."""
    made_of = getattr(view, "cls", None) or getattr(view, "view_class", None)
    if made_of is RedirectView:
        return ["GET"]
    if made_of is None:
        return ["GET", "POST"]
    return [method for method in _HANDLED if hasattr(made_of, method.lower())]
