from __future__ import annotations

from django.db import models


class ChangeClock(models.Model):
    """Counts every change to a configuration table. Kept by database triggers (changes.py)."""

    version = models.BigIntegerField(default=0)

    class Meta:
        constraints = (models.CheckConstraint(condition=models.Q(pk=1), name="one_change_clock"),)

    def __str__(self) -> str:
        return f"version {self.version}"


class Revision(models.Model):
    """One state of the configuration, as the config.yaml it was exported as."""

    created_at = models.DateTimeField(auto_now_add=True)
    digest = models.CharField(max_length=64, db_index=True, help_text="SHA-256 of the text.")
    yaml = models.TextField()

    class Meta:
        ordering = ("-pk",)

    def __str__(self) -> str:
        return f"revision {self.pk}"
