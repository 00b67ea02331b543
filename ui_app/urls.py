from __future__ import annotations

from django.urls import URLPattern, URLResolver, path
from django.views.generic import RedirectView
from django_eventstream.views import events

from models_app.access import needs
from models_app.rights import Scope
from ui_app.pages import components, models, sign_in

home = needs(Scope.INFERENCE)(RedirectView.as_view(pattern_name="ui-models"))

urlpatterns: list[URLPattern | URLResolver] = [
    path(
        "", needs(Scope.INFERENCE)(RedirectView.as_view(pattern_name="ui-models")), name="ui-home"
    ),
    path("sign-in/", sign_in.sign_in, name="ui-sign-in"),
    path("sign-out/", sign_in.sign_out, name="ui-sign-out"),
    path("password/", sign_in.password, name="ui-password"),
    path("welcome/", sign_in.welcome, name="ui-welcome"),
    path("welcome/<str:token>/", sign_in.welcome, name="ui-welcome-invited"),
    path("models/", models.models, name="ui-models"),
    path("models/act/", models.act, name="ui-act"),
    path("scan/", models.scan, name="ui-scan"),
    path("folders/", models.add_folder, name="ui-add-folder"),
    path("components/", components.components, name="ui-components"),
    path("texts.js", models.TEXTS, name="ui-texts"),
    path("events/", needs(Scope.INFERENCE)(events), {"channels": ["ui"]}, name="ui-events"),
]
