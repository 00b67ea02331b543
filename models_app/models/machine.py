from __future__ import annotations

from django.db import models

from models_app.models.nodes import OnNode


class MachineReport(OnNode):
    """What the process that owns the engines found its machine to be: one row a node."""

    facts = models.JSONField(default=dict)
    read_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = "machine"
        verbose_name_plural = "machine"
        constraints = (models.UniqueConstraint(fields=("node",), name="one_machine_a_node"),)

    def __str__(self) -> str:
        return f"machine as of {self.read_at:%Y-%m-%d %H:%M}"
