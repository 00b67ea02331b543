from __future__ import annotations

from django.db import models

from models_app.models.nodes import OnNode


class EngineBuild(OnNode):
    """What a llama-server binary understands, asked once per build by the serving process."""

    path = models.CharField(max_length=4096)
    size = models.BigIntegerField(help_text="Bytes; with the time it tells that it was replaced.")
    mtime_ns = models.BigIntegerField()
    version = models.CharField(max_length=255, blank=True)
    flags = models.JSONField(default=list, help_text="Every flag that --help lists.")
    devices = models.JSONField(default=list, help_text="What --list-devices names.")
    active = models.BooleanField(default=False)
    probed_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("path",)
        constraints = (
            models.UniqueConstraint(fields=("node", "path"), name="one_build_a_path_of_a_node"),
        )

    def __str__(self) -> str:
        return self.path
