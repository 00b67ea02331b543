from __future__ import annotations

from django.apps import AppConfig
from django.core import checks


class SiteConfig(AppConfig):
    name = "claracore_site"
    verbose_name = "ClaraCore"

    def ready(self) -> None:
        from claracore_site.checks import unknown_variables

        checks.register(unknown_variables, "environment")
