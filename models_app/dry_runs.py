"""Requests that only want to know what an act would do. The audit log leaves them out.

The view that does nothing marks its request. The address alone proves nothing: a view that does not
read `dry_run` acts all the same.
"""

from __future__ import annotations

from typing import Final

from django.http import HttpRequest

NAME: Final = "dry_run"
"""As addresses have it."""

_MARK: Final = "_is_dry_run"


def asked_for(request: HttpRequest) -> bool:
    """Whether the address of a page's request says so; the page then has to do nothing."""
    if NAME in request.GET:
        mark(request)
        return True
    return False


def mark(request: HttpRequest) -> None:
    """Nothing is done for this request."""
    setattr(request, _MARK, True)


def is_marked(request: HttpRequest) -> bool:
    """Whether nothing was done for it."""
    return getattr(request, _MARK, False)
