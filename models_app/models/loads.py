from __future__ import annotations

from django.db import models
from django.utils import timezone

from models_app.models.files import GgufFile


class LoadRecord(models.Model):
    """What one load of a file really took. The serving process writes it; it never changes."""

    file = models.ForeignKey(GgufFile, on_delete=models.CASCADE, related_name="loads")
    contents = models.CharField(
        max_length=64, help_text="SHA-256 of what was loaded: sizes and times of the files."
    )
    options = models.CharField(
        max_length=64, help_text="SHA-256 of the options that decide how much memory is taken."
    )
    build_path = models.CharField("engine", max_length=4096)
    build_size = models.BigIntegerField(help_text="Bytes.")
    build_mtime_ns = models.BigIntegerField()
    device = models.CharField(max_length=1024, help_text="The processor and GPUs it ran on.")
    command = models.TextField(help_text="What was started, an option a line.")

    predicted = models.BigIntegerField(
        null=True, blank=True, help_text="Bytes; empty for a command that was not planned."
    )
    measured = models.BigIntegerField(
        null=True, blank=True, help_text="Bytes; empty where they cannot be read."
    )
    devices = models.JSONField(
        default=list, blank=True, help_text="Predicted and measured bytes of each device."
    )
    load_seconds = models.FloatField(help_text="From the start until it was ready.")
    at = models.DateTimeField("when", default=timezone.now)

    class Meta:
        ordering = ("-at", "-pk")
        verbose_name = "load"

    def __str__(self) -> str:
        return f"{self.file} on {self.at:%Y-%m-%d %H:%M}"

    @property
    def error(self) -> float | None:
        """How far off the prediction was: -0.1 is 10 % too low. None without both numbers."""
        if self.predicted is None or not self.measured:
            return None
        return self.predicted / self.measured - 1
