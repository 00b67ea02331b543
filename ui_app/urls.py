from __future__ import annotations

from django.urls import URLPattern, URLResolver, path
from django.views.generic import RedirectView
from django_eventstream.views import events

from models_app.access import needs
from models_app.rights import Scope
from ui_app.pages import components, models

home = needs(Scope.INFERENCE)(RedirectView.as_view(pattern_name="ui-models"))

urlpatterns: list[URLPattern | URLResolver] = [
    path(
        "", needs(Scope.INFERENCE)(RedirectView.as_view(pattern_name="ui-models")), name="ui-home"
    ),
    path("models/", models.models, name="ui-models"),
    path("models/act/", models.act, name="ui-act"),
    path("scan/", models.scan, name="ui-scan"),
    path("folders/", models.add_folder, name="ui-add-folder"),
    path("components/", components.components, name="ui-components"),
    path("texts.js", models.TEXTS, name="ui-texts"),
    path("events/", needs(Scope.INFERENCE)(events), {"channels": ["ui"]}, name="ui-events"),
]
