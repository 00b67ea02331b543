from __future__ import annotations

from django.apps import AppConfig


class ProxyConfig(AppConfig):
    name = "proxy_app"
    verbose_name = "Serving"

    def ready(self) -> None:
        from proxy_app import drain  # listens to Celery's signals; needs the models

        assert drain
