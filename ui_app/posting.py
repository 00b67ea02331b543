"""Views that change something: by POST only."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

View = Callable[..., HttpResponse]


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
