from __future__ import annotations

from django.db import models

from models_app.models.nodes import OnNode


class ModelFolder(OnNode):
    """A folder whose GGUF files are served."""

    path = models.CharField(max_length=4096, help_text="Absolute path of the folder on the server.")
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
        constraints = (
            models.UniqueConstraint(fields=("node", "path"), name="one_folder_a_path_of_a_node"),
        )

    def __str__(self) -> str:
        return self.path
