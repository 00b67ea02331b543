from __future__ import annotations

from django.db import models


class ModelFolder(models.Model):
    """A folder whose GGUF files are served."""

    path = models.CharField(
        max_length=4096, unique=True, help_text="Absolute path of the folder on the server."
    )
    recursive = models.BooleanField(default=True, help_text="Look into folders below it too.")
    enabled = models.BooleanField(
        default=True, help_text="A disabled folder is neither scanned nor served."
    )
    added_at = models.DateTimeField(auto_now_add=True)
    last_scanned_at = models.DateTimeField(null=True, blank=True, editable=False)
    problem = models.TextField(
        blank=True, editable=False, help_text="Why the last scan could not read all of it."
    )

    class Meta:
        ordering = ("path",)
        verbose_name = "folder"

    def __str__(self) -> str:
        return self.path
