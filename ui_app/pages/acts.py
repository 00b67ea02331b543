"""Views that change something: by POST only."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.cache import cache_control
from django.views.i18n import JavaScriptCatalog

from models_app.access import Open, needs

View = Callable[..., HttpResponse]

TEXTS = needs(Open.ANYBODY)(
    cache_control(max_age=600)(JavaScriptCatalog.as_view(packages=["ui_app"]))
)
"""The page's language for its scripts."""


def acts(page: str) -> Callable[[View], View]:
    """A view that changes something by POST. Any other way in leads to `page`."""

    def decorated(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
            if request.method != "POST":
                return redirect(page)
            return view(request, *args, **kwargs)

        return guarded

    return decorated
