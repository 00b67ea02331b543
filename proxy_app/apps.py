from __future__ import annotations

from django.apps import AppConfig


class ProxyConfig(AppConfig):
    name = "proxy_app"
    verbose_name = "Serving"

    def ready(self) -> None:
        from proxy_app import drain  # listen to Celery's signals; need the models

        assert drain
