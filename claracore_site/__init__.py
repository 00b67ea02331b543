from __future__ import annotations

from claracore_site.celery import app as celery_app

__all__ = ["celery_app"]
