from __future__ import annotations

from django.apps import AppConfig


class UiConfig(AppConfig):
    name = "ui_app"
    verbose_name = "Pages"
