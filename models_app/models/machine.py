from __future__ import annotations

from django.db import models


class MachineReport(models.Model):
    """What the process that owns the engines found this machine to be: one row."""

    facts = models.JSONField(default=dict)
    read_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = "machine"
        verbose_name_plural = "machine"
        constraints = (models.CheckConstraint(condition=models.Q(pk=1), name="one_machine_report"),)

    def __str__(self) -> str:
        return f"machine as of {self.read_at:%Y-%m-%d %H:%M}"
