from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig
from django.core import checks


class ClaraCoreAdminConfig(AdminConfig):
    default_site = "claracore_site.admin_site.ClaraCoreAdmin"


class SiteConfig(AppConfig):
    name = "claracore_site"
    verbose_name = "ClaraCore"

    def ready(self) -> None:
        from claracore_site.checks import unknown_variables

        checks.register(unknown_variables, "environment")

        from claracore_site import download_metrics
        from proxy_app.prometheus import jobs

        jobs.SOURCES.append(download_metrics.families)
