from __future__ import annotations

from django.db import models

from models_app.models.folders import ModelFolder
from models_app.models.nodes import OnNode


class GgufFile(OnNode):
    """A GGUF file as the last scan found it. Scans own every column; people only look."""

    class State(models.TextChoices):
        OK = "ok", "readable"
        UNREADABLE = "unreadable", "unreadable"
        INCOMPLETE = "incomplete", "parts missing"
        VANISHED = "vanished", "no longer on disk"

    folder = models.ForeignKey(ModelFolder, on_delete=models.CASCADE, related_name="files")
    path = models.CharField(max_length=4096)
    relative_path = models.CharField(max_length=4096)
    size = models.BigIntegerField(help_text="Bytes.")
    mtime_ns = models.BigIntegerField(help_text="Modification time in nanoseconds since 1970.")
    state = models.CharField(max_length=12, choices=State.choices, default=State.OK)
    problem = models.TextField(blank=True, help_text="Why it cannot be served, in plain words.")

    kind = models.CharField(max_length=12, blank=True)
    architecture = models.CharField(max_length=64, blank=True)
    quantization = models.CharField(max_length=32, blank=True)
    parameters = models.BigIntegerField(null=True, blank=True)
    context_length = models.BigIntegerField(
        null=True, blank=True, help_text="Tokens the model was trained on."
    )
    facts = models.JSONField(default=dict, blank=True)

    split_no = models.PositiveIntegerField(null=True, blank=True, help_text="1 for the first part.")
    split_count = models.PositiveIntegerField(null=True, blank=True)
    first_part = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="later_parts"
    )
    projector = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="fits",
        help_text="The projector that fits this model, as the metadata of both tell.",
    )
    draft = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="drafts_for",
        help_text="The small model of the same vocabulary that may guess ahead for this one.",
    )
    introduced = models.BooleanField(
        default=False,
        help_text="A model was made of it once. A model a person deleted is not made again.",
    )

    first_seen_at = models.DateTimeField(auto_now_add=True)
    last_seen_at = models.DateTimeField()

    class Meta:
        ordering = ("path",)
        verbose_name = "file"
        constraints = (
            models.UniqueConstraint(fields=("node", "path"), name="one_file_a_path_of_a_node"),
        )

    def __str__(self) -> str:
        return self.relative_path
