"""The pages of the web UI, in the order in which the navigation shows them.

A page is added by a line here and a route of that name in `urls.py`. A line whose route does not
exist is left out, and so is a page that the person may not use.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from models_app.access import rights_of
from models_app.rights import Scope


@dataclass(frozen=True, slots=True)
class Page:
    """One entry of the navigation."""

    route: str
    """The name of its route in `urls.py`."""
    label: str | Promise
    icon: str
    """A file of `icons/`, without its ending."""
    scope: Scope = Scope.INFERENCE
    """The right it takes."""
    group: str | Promise = ""
    """The heading it stands under; empty for the first, nameless one."""
    for_some: bool = False
    """Of those that take `Scope.MANAGE`: whether it is open to who manages some models only."""


_WORK: Final = _("Work")
_SERVER: Final = _("Server")

PAGES: Final = (
    Page("ui-dashboard", _("Dashboard"), "dashboard"),
    Page("ui-models", _("Models"), "models"),
    Page("ui-playground", _("Playground"), "playground"),
    Page("ui-downloads", _("Downloads"), "downloads", Scope.MANAGE),
    Page("ui-activity", _("Activity"), "activity", group=_WORK),
    Page("ui-queue", _("Queue"), "queue", group=_WORK),
    Page("ui-logs", _("Logs"), "logs", Scope.MANAGE, _WORK, for_some=True),
    Page("ui-configuration", _("Configuration"), "configuration", Scope.MANAGE, _SERVER),
    Page("ui-engines", _("Engines"), "engines", Scope.MANAGE, _SERVER),
    Page("ui-keys", _("Keys and people"), "people", group=_SERVER),
    Page("ui-setup", _("Setup"), "setup", Scope.MANAGE, _SERVER),
    Page("admin:index", _("Admin"), "admin", Scope.ADMIN, _SERVER),
)


@dataclass(frozen=True, slots=True)
class Link:
    """An entry as a page shows it."""

    address: str
    label: str | Promise
    icon: str
    is_current: bool


@dataclass(frozen=True, slots=True)
class Group:
    """Entries under one heading."""

    name: str | Promise
    links: tuple[Link, ...]


def groups(request: HttpRequest) -> list[Group]:
    """The navigation for who asks, with the page they are on marked."""
    found: dict[str | Promise, list[Link]] = {}
    for page in PAGES:
        there = address(page.route)
        if there and _may_open(request, page):
            link = Link(there, page.label, page.icon, _is_at(request.path, there))
            found.setdefault(page.group, []).append(link)
    return [Group(name, tuple(links)) for name, links in found.items()]


def _may_open(request: HttpRequest, page: Page) -> bool:
    if page.scope is Scope.MANAGE and not page.for_some:
        return rights_of(request).manages_all
    return may(request, page.scope)


def may(request: HttpRequest, scope: Scope) -> bool:
    """Whether who asks has a right."""
    return rights_of(request).may(scope)


@cache
def address(route: str) -> str:
    """Where a page is; empty while there is none of that name."""
    try:
        return reverse(route)
    except NoReverseMatch:
        return ""


def first(*routes: str) -> str:
    """Where the first of these pages is that there is; empty for none."""
    return next(filter(None, map(address, routes)), "")


def _is_at(path: str, there: str) -> bool:
    """Whether a path is a page or lies below it. Below the dashboard lies everything."""
    return path == there or (there != address("ui-dashboard") and path.startswith(there))
