from __future__ import annotations

from django.urls import URLPattern, path

from models_app.api import (
    cleaning,
    config,
    config_models,
    folders,
    generation,
    keys,
    me,
    people,
    plans,
    scanning,
    settings,
    system,
)

# Ids may hold slashes, so they are matched as paths. A trailing slash is taken off before.
urlpatterns: list[URLPattern] = [
    path("me", me.me),
    path("keys", keys.Keys.as_view()),
    path("keys/<int:pk>", keys.OneKey.as_view()),
    path("people", people.People.as_view()),
    path("people/<int:pk>", people.OnePerson.as_view()),
    path("system/specs", system.specs),
    path("system/detection", system.detect),
    path("models/<path:name>/plan", plans.plan),
    path("settings/system", settings.SystemSettings.as_view()),
    path("settings/hf-api-key", settings.HuggingFaceToken.as_view()),
    path("setup/progress", generation.SetupProgress.as_view()),
    path("config", config.Whole.as_view()),
    path("config/validate", config.Validate.as_view()),
    path("config/validate-models", cleaning.ValidateModels.as_view()),
    path("config/cleanup-duplicates", cleaning.CleanUpDuplicates.as_view()),
    path("config/scan-folder", scanning.ScanFolder.as_view()),
    path("config/add-model", config_models.Add.as_view()),
    path("config/append-model", config_models.Append.as_view()),
    path("config/model/<path:name>", config_models.One.as_view()),
    path("config/models/<path:name>", config_models.Entry.as_view()),
    path("config/folders", folders.Folders.as_view()),
    path("config/regenerate-from-db", generation.Regenerate.as_view()),
    path("config/generate-all", generation.GenerateAll.as_view()),
]
