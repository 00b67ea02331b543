from __future__ import annotations

from django.db import models


class ModelGroup(models.Model):
    """Which models may be loaded side by side.

    A model in no group belongs to the implicit default group, which swaps and is exclusive.
    """

    name = models.CharField(max_length=128, unique=True)
    swap = models.BooleanField(
        default=True, help_text="Only one model of the group is loaded at a time."
    )
    exclusive = models.BooleanField(
        default=True, help_text="Loading a model of this group unloads the other groups."
    )
    persistent = models.BooleanField(
        default=False, help_text="Other groups never unload this group's models."
    )
    start_port = models.PositiveIntegerField(
        null=True, blank=True, help_text="First port its engines use; empty: the server's setting."
    )

    class Meta:
        ordering = ("name",)
        verbose_name = "group"

    def __str__(self) -> str:
        return self.name
