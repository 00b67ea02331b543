from __future__ import annotations

from django.db import models
from django.utils import timezone

from models_app.models.engine_build import EngineBuild
from models_app.models.nodes import OnNode


class EngineInstall(OnNode):
    """One build of llama-server that was asked for: fetched, tried, and kept beside the others."""

    class Status(models.TextChoices):
        QUEUED = "queued", "waiting"
        RUNNING = "running", "on its way"
        TRYING = "trying", "being tried"
        READY = "ready", "ready"
        FAILED = "failed", "failed"

    class Source(models.TextChoices):
        RELEASE = "release", "release"
        ARCHIVE = "archive", "archive on this machine"
        FOLDER = "folder", "folder on this machine"
        PATH = "path", "program on PATH"
        WHEEL = "wheel", "Python package"

    status = models.CharField(max_length=8, choices=Status.choices, default=Status.QUEUED)
    phase = models.CharField(max_length=16, blank=True)
    source = models.CharField(max_length=8, choices=Source.choices, default=Source.RELEASE)
    origin = models.CharField(
        max_length=4096, blank=True, help_text="The archive, folder or program it comes from."
    )
    version = models.CharField(max_length=64, blank=True, help_text="Empty: the newest.")
    backend = models.CharField(
        max_length=16, blank=True, help_text="Empty: the one that suits this machine."
    )
    files = models.JSONField(default=list, blank=True, help_text="What was fetched, with digests.")
    verified = models.BooleanField(
        default=False, help_text="Every file had the SHA-256 that its release published."
    )
    folder = models.CharField(
        max_length=4096, blank=True, help_text="Its own folder; empty when it is used in place."
    )
    binary = models.CharField(max_length=4096, blank=True)
    build = models.ForeignKey(
        EngineBuild, null=True, blank=True, on_delete=models.SET_NULL, related_name="installs"
    )
    reason = models.TextField(blank=True, help_text="Why it cannot be used.")
    note = models.TextField(blank=True)
    total_bytes = models.BigIntegerField(default=0)
    done_bytes = models.BigIntegerField(default=0)

    wanted = models.BooleanField(
        default=False, help_text="It becomes the active one once its trial run succeeds."
    )
    active = models.BooleanField(default=False)
    previous = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="What was active before it; empty: the program on PATH or of the package.",
    )

    owner = models.CharField(max_length=128, blank=True, editable=False)
    heartbeat_at = models.DateTimeField(null=True, blank=True, editable=False)
    attempts = models.PositiveIntegerField(default=0, editable=False)
    queued_at = models.DateTimeField(default=timezone.now)
    created_at = models.DateTimeField(auto_now_add=True)
    tried_at = models.DateTimeField(null=True, blank=True)
    activated_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-pk",)
        verbose_name = "engine"
        constraints = (
            models.UniqueConstraint(
                fields=("node",), condition=models.Q(active=True), name="one_active_engine_a_node"
            ),
        )

    def __str__(self) -> str:
        name = " ".join(part for part in (self.version, self.backend) if part)
        return name or f"engine {self.pk}"
