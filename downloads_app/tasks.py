"""Celery tasks: they claim a row and call a verb."""

from __future__ import annotations

from typing import Any

from celery import shared_task
from celery.signals import worker_shutting_down

from downloads_app import queue, work
from downloads_app.engines import install, orders
from models_app.leases import this_worker


@shared_task(name=queue.TASK)
def work_off() -> None:
    """Do one download after the other, as long as any waits and there is room."""
    while not work.stopping.is_set():
        download = queue.claim_next(this_worker())
        if download is None:
            return
        work.perform(download, serves=True)


@shared_task(name=orders.TASK)
def install_engine(pk: int) -> None:
    """Install the build that row `pk` asks for, unless another worker has it."""
    row = orders.claim(pk, this_worker())
    if row is not None:
        install.perform(row)


@worker_shutting_down.connect
def _stop(**_: Any) -> None:
    work.stopping.set()
