"""Celery tasks: they fetch by id and call a verb."""

from __future__ import annotations

from celery import shared_task

from models_app import scan_runs


@shared_task
def scan(run_id: int) -> None:
    """Do the scan that row `run_id` asks for, unless another worker has it."""
    scan_runs.perform(run_id)
