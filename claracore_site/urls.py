from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, URLResolver, include, path, re_path

from models_app.access import Open, needs
from models_app.api import docs
from models_app.api.errors import not_found
from proxy_app.prometheus import page as prometheus


@needs(Open.ANYBODY)
def front_door(request: HttpRequest) -> HttpResponse:
    return HttpResponseRedirect("/ui/")


urlpatterns: list[URLPattern | URLResolver] = [
    path("", front_door),
    path("ui", front_door),
    path("ui/", include("ui_app.urls")),
    path("admin/", admin.site.urls),
    path("metrics", prometheus.page),
    path("metrics/", prometheus.page),
    # A trailing slash is taken off before these are looked up.
    path("api/schema", docs.as_json),
    path("api/schema.yaml", docs.as_yaml),
    path("api/docs", docs.page),
    path("api/", include("downloads_app.api.urls")),
    path("api/", include("models_app.api.urls")),
    path("api/", include("proxy_app.api.urls")),
    re_path(r"^api(/|$)", not_found),
]

handler403 = "ui_app.error_pages.forbidden"
handler404 = "ui_app.error_pages.not_found"
handler500 = "ui_app.error_pages.failed"
