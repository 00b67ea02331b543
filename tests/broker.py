"""Looks into the broker, whichever it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import redis
from django.conf import settings


def messages() -> int:
    """How many wait for a worker."""
    if not settings.CLARACORE_REDIS_URL:
        queue: Path = settings.CLARACORE_BROKER_FOLDER / "queue"
        return len(list(queue.iterdir()))
    with redis.Redis.from_url(settings.CLARACORE_REDIS_URL) as client:
        waiting: list[Any] = [client.llen(queue.name) for queue in settings.CELERY_TASK_QUEUES]
        return sum(waiting)
