"""Where the pages are on which a server is configured, and on which people and keys are."""

from __future__ import annotations

from django.urls import URLPattern, path

from ui_app.pages import config_history, config_text, configuration, keys, people, usage

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
    path("keys/", keys.Keys.as_view(), name="ui-keys"),
    path("keys/<int:pk>/", keys.OneKey.as_view(), name="ui-key"),
    path("keys/<int:pk>/revoke/", keys.revoke, name="ui-key-revoke"),
    path("keys/usage/", usage.usage, name="ui-usage"),
    path("keys/people/", people.People.as_view(), name="ui-people"),
    path("keys/people/<int:pk>/", people.OnePerson.as_view(), name="ui-person"),
    path("keys/people/<int:pk>/act/", people.act, name="ui-person-act"),
]
