from __future__ import annotations

from django.db import models
from django.utils import timezone

from models_app.models.nodes import OnNode


class ScanRun(OnNode):
    """One scan of some or all folders: the row a task claims, reports to and ends."""

    class Status(models.TextChoices):
        QUEUED = "queued", "queued"
        RUNNING = "running", "running"
        COMPLETED = "completed", "completed"
        FAILED = "failed", "failed"

    status = models.CharField(max_length=9, choices=Status.choices, default=Status.QUEUED)
    folders = models.ManyToManyField(
        "models_app.ModelFolder", blank=True, help_text="Empty: all enabled folders."
    )
    look_at = models.JSONField(
        default=list,
        blank=True,
        help_text="Folders [path, recursive] that are only looked at, and not tracked.",
    )
    found = models.JSONField(
        default=list, blank=True, help_text="The models of folders that were only looked at."
    )
    step = models.CharField(max_length=255, blank=True)
    current = models.CharField(max_length=4096, blank=True, help_text="The file being read.")
    total = models.PositiveIntegerField(default=0, help_text="Files to look at.")
    processed = models.PositiveIntegerField(default=0)
    summary = models.JSONField(default=list, blank=True, help_text="What each folder held.")
    problem = models.TextField(blank=True)

    owner = models.CharField(max_length=128, blank=True, help_text="Which worker has it.")
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveIntegerField(
        default=0, help_text="How often it was handed to the workers."
    )
    queued_at = models.DateTimeField(
        default=timezone.now, help_text="When it was last handed to the workers."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-pk",)
        verbose_name = "scan"

    def __str__(self) -> str:
        return f"scan {self.pk} ({self.status})"
