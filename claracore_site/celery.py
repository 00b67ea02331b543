"""The Celery application: tasks of all apps, settings from Django."""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "claracore_site.settings")

app = Celery("claracore")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
