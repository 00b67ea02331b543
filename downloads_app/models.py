"""What is fetched, and how: the rows that the API, the workers and the event stream share."""

from __future__ import annotations

import secrets

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Max
from django.utils import timezone

from models_app.models.nodes import OnNode
from models_app.sealed import SealedField

MOST_AT_ONCE = 8
"""Downloads that may run at once at most; the worker keeps threads for as many."""

KIB = 1024


def new_key() -> str:
    """A name for a download that no other has, fit for addresses."""
    return f"download_{secrets.token_hex(6)}"


class Download(OnNode):
    """One model on its way here: a file, the parts of a split model, or a model and its projector.

    `status` is the word that clients of the API know; `phase` tells more.
    """

    class Status(models.TextChoices):
        PENDING = "pending", "waiting"
        DOWNLOADING = "downloading", "downloading"
        PAUSED = "paused", "paused"
        COMPLETED = "completed", "completed"
        FAILED = "failed", "failed"
        CANCELLED = "cancelled", "cancelled"

    key = models.CharField(max_length=64, unique=True, default=new_key, editable=False)
    model_id = models.CharField(
        "id asked for", max_length=255, blank=True, help_text="The model also answers to it."
    )
    repository = models.CharField(max_length=255, blank=True)
    quantization = models.CharField(max_length=64, blank=True)
    folder = models.CharField(max_length=4096, help_text="Where the files go.")
    status = models.CharField(max_length=11, choices=Status.choices, default=Status.PENDING)
    phase = models.CharField(max_length=16, blank=True)
    note = models.TextField(blank=True, help_text="What happened last that is worth knowing.")
    error = models.TextField(blank=True)
    error_kind = models.CharField(max_length=16, blank=True)

    total_bytes = models.BigIntegerField(null=True, blank=True)
    done_bytes = models.BigIntegerField(default=0)
    speed = models.BigIntegerField(default=0, help_text="Bytes per second.")
    connections = models.PositiveIntegerField(default=0)
    failures = models.PositiveIntegerField(default=0, help_text="Those got over included.")
    rate_limit = models.BigIntegerField(
        default=0,
        validators=[MinValueValidator(0)],
        help_text="Bytes per second; 0: no limit of its own.",
    )
    token = SealedField(blank=True, editable=False)
    reuse = models.BooleanField(
        default=False, help_text="The same file is taken from elsewhere on this machine."
    )
    reuse_path = models.CharField(
        max_length=4096, blank=True, help_text="Where the same content seems to be already."
    )

    position = models.BigIntegerField(default=0, help_text="Lower ones start earlier.")
    owner = models.CharField(max_length=128, blank=True, editable=False)
    heartbeat_at = models.DateTimeField(null=True, blank=True, editable=False)
    attempts = models.PositiveIntegerField(
        default=0, help_text="How often a worker died with it before it got further."
    )
    queued_at = models.DateTimeField(default=timezone.now)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    changed_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        ordering = ("position", "pk")
        indexes = (models.Index(fields=("status", "position"), name="downloads_in_order"),)

    def __str__(self) -> str:
        return f"{self.model_id or self.key} ({self.status})"

    @classmethod
    def last_position(cls) -> int:
        """The position of the download that comes after all others."""
        return int(cls.objects.aggregate(last=Max("position"))["last"] or 0)


OVER = (Download.Status.COMPLETED, Download.Status.FAILED, Download.Status.CANCELLED)


class DownloadFile(models.Model):
    """One file of a download."""

    download = models.ForeignKey(Download, on_delete=models.CASCADE, related_name="files")
    number = models.PositiveIntegerField(default=0)
    url = models.TextField()
    name = models.CharField(max_length=255, help_text="Its name in the download's folder.")
    size = models.BigIntegerField(null=True, blank=True, help_text="Bytes.")
    sha256 = models.CharField(max_length=64, blank=True)
    done = models.BooleanField(default=False)
    verified = models.BooleanField(
        default=False, help_text="Its SHA-256 was told beforehand, and is this one."
    )

    class Meta:
        ordering = ("number", "pk")
        verbose_name = "file of a download"
        verbose_name_plural = "files of a download"

    def __str__(self) -> str:
        return self.name


class DownloadSettings(models.Model):
    """How downloads share the line: one row."""

    at_once = models.PositiveIntegerField(
        default=2,
        validators=[MinValueValidator(1), MaxValueValidator(MOST_AT_ONCE)],
        help_text="Downloads that run at once; more wait for their turn.",
    )
    connections = models.PositiveIntegerField(
        default=4,
        validators=[MinValueValidator(1), MaxValueValidator(16)],
        help_text="Connections a file begins with; up to twice as many while that is faster.",
    )
    rate_limit = models.BigIntegerField(
        "bandwidth limit",
        default=0,
        validators=[MinValueValidator(0)],
        help_text="Bytes per second for all downloads together; 0: no limit.",
    )
    hosts = models.TextField(
        blank=True,
        help_text="Further hosts that files may come from, one a line, such as "
        "models.example.org or *.example.org.",
    )

    class Meta:
        verbose_name = "download settings"
        verbose_name_plural = "download settings"
        constraints = (
            models.CheckConstraint(condition=models.Q(pk=1), name="one_row_of_download_settings"),
        )

    def __str__(self) -> str:
        return "Download settings"

    @classmethod
    def current(cls) -> DownloadSettings:
        """The one row, made with its defaults when missing."""
        return cls.objects.get_or_create(pk=1)[0]
