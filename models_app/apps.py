from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import Tags, register
from django.db.models.signals import post_migrate, pre_migrate


class ModelsConfig(AppConfig):
    name = "models_app"
    verbose_name = "Models"

    def ready(self) -> None:
        from models_app import changes, checks  # need the models, which are loaded only now

        pre_migrate.connect(changes.before_migrate, sender=self)
        register(checks.engine, "engine")
        register(checks.folders, Tags.database)
        post_migrate.connect(changes.after_migrate, sender=self)
