"""Where the pages are on which a server is configured, and on which people and keys are."""

from __future__ import annotations

from django.urls import URLPattern, path

from ui_app.pages import config_history, config_text, configuration

urlpatterns: list[URLPattern] = [
    path("configuration/", configuration.Settings.as_view(), name="ui-configuration"),
    path("configuration/text/", config_text.Text.as_view(), name="ui-configuration-text"),
    path("configuration/text/check/", config_text.check, name="ui-configuration-check"),
    path("configuration/history/", config_history.history, name="ui-configuration-history"),
    path(
        "configuration/history/<int:pk>/",
        config_history.OneRevision.as_view(),
        name="ui-configuration-revision",
    ),
]
