"""The description of the API, for programs and for people."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularYAMLAPIView

from models_app.access import needs
from models_app.rights import Scope

as_json = needs(Scope.INFERENCE)(extend_schema(exclude=True)(SpectacularJSONAPIView).as_view())
as_yaml = needs(Scope.INFERENCE)(extend_schema(exclude=True)(SpectacularYAMLAPIView).as_view())

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
"""As on every page, and images that stand in the style sheet of the documentation."""


@needs(Scope.INFERENCE)
def page(request: HttpRequest) -> HttpResponse:
    """GET /api/docs/: browse the API and try it."""
    response = render(request, "api/docs.html")
    response.headers["Content-Security-Policy"] = POLICY
    return response
