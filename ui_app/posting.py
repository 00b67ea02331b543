"""Views that change something: by POST only. Where they lead afterwards."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme

from proxy_app.strangers import is_for_pages

View = Callable[..., HttpResponse]


def is_page_of_ours(address: str) -> bool:
    """Whether a redirect may lead there, whoever wrote the address.

    A redirect from one of our pages counts as asked by it, and `/unload` does what it says then.
    Browsers go up for `..`, however it is spelled.
    """
    path = address.partition("?")[0].partition("#")[0]
    climbs = ".." in path or "%2e" in path.lower() or "\\" in path
    return url_has_allowed_host_and_scheme(address, None) and is_for_pages(path) and not climbs


def acts(page: str) -> Callable[[View], View]:
    """A view that changes something by POST. Any other way in leads to `page`."""

    def guard(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if request.method != "POST":
                return redirect(page)
            return view(request, *args, **kwargs)

        return guarded

    return guard
