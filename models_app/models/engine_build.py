from __future__ import annotations

from django.db import models


class EngineBuild(models.Model):
    """What a llama-server binary understands, asked once per build by the serving process."""

    path = models.CharField(max_length=4096, unique=True)
    size = models.BigIntegerField(help_text="Bytes; with the time it tells that it was replaced.")
    mtime_ns = models.BigIntegerField()
    version = models.CharField(max_length=255, blank=True)
    flags = models.JSONField(default=list, help_text="Every flag that --help lists.")
    devices = models.JSONField(default=list, help_text="What --list-devices names.")
    active = models.BooleanField(default=False)
    probed_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("path",)

    def __str__(self) -> str:
        return self.path
