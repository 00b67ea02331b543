from __future__ import annotations

from django.apps import AppConfig


class ProxyConfig(AppConfig):
    name = "proxy_app"
    verbose_name = "Serving"

    def ready(self) -> None:
        from models_app import api_keys
        from proxy_app import drain, key_rows  # listen to Celery's signals; need the models

        assert drain
        api_keys.count_with(key_rows.tokens_used)
