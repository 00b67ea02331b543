from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

START_PAUSES = (0, 5, 15, 60, 300)
"""Seconds a model is left alone after its first, second, … failed start in a row."""

LONGEST_PAUSE = 86400


def default_start_pauses() -> list[int]:
    return list(START_PAUSES)


def check_start_pauses(pauses: object) -> None:
    """Raises ValidationError unless it is a list of seconds."""
    good = isinstance(pauses, list) and all(
        isinstance(pause, int | float)
        and not isinstance(pause, bool)
        and 0 <= pause <= LONGEST_PAUSE
        for pause in pauses
    )
    if not good:
        raise ValidationError(
            f"Enter a list of seconds from 0 to {LONGEST_PAUSE}, such as [0, 5, 15, 60, 300]."
        )


class ServerSettings(models.Model):
    """The server's settings: one row."""

    class LogLevel(models.TextChoices):
        DEBUG = "debug", "debug"
        INFO = "info", "info"
        WARN = "warn", "warn"
        ERROR = "error", "error"

    class Backend(models.TextChoices):
        CUDA = "cuda", "CUDA"
        ROCM = "rocm", "ROCm"
        VULKAN = "vulkan", "Vulkan"
        METAL = "metal", "Metal"
        CPU = "cpu", "CPU"

    # Engines
    health_check_timeout = models.PositiveIntegerField(
        default=300,
        validators=[MinValueValidator(15), MaxValueValidator(86400)],
        help_text="Seconds an engine may take to load its model.",
    )
    start_port = models.PositiveIntegerField(
        default=8100,
        validators=[MinValueValidator(1), MaxValueValidator(65000)],
        help_text="First port engines listen on.",
    )
    default_ttl = models.PositiveIntegerField(
        default=300,
        help_text="Seconds without a request until a model is unloaded; 0: never.",
    )
    unload_timeout = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MaxValueValidator(3600)],
        help_text="Seconds an engine may take to stop before it is killed; empty: 2.",
    )
    log_level = models.CharField(max_length=5, choices=LogLevel.choices, default=LogLevel.INFO)
    adopt_wait = models.PositiveIntegerField(
        default=30,
        validators=[MaxValueValidator(86400)],
        help_text="Seconds a loaded model outlives a server that crashed or restarts, for the next "
        "server to take it over; 0: it ends with the server.",
    )
    start_pauses = models.JSONField(
        default=default_start_pauses,
        blank=True,
        validators=[check_start_pauses],
        help_text="Seconds a model is left alone after its first, second, … failed start in a row.",
    )
    preload = models.JSONField(
        default=list, blank=True, help_text="Ids of models to load when the server starts."
    )
    macros = models.JSONField(
        default=dict, blank=True, help_text="Texts that commands may use as ${name}."
    )

    # Queue
    max_wait = models.PositiveIntegerField(
        default=20,
        help_text="Seconds after which a waiting request stops newer ones for the loaded model.",
    )
    min_residency = models.PositiveIntegerField(
        default=0,
        help_text="Seconds a model with waiting requests stays loaded at least.",
    )
    queue_length = models.PositiveIntegerField(
        default=256,
        validators=[MinValueValidator(1)],
        help_text="Requests that may wait for one model; more are refused with 429.",
    )

    side_by_side = models.BooleanField(
        default=False,
        help_text="Models in no group stay loaded beside each other while they fit in memory.",
    )
    memory_wait = models.PositiveIntegerField(
        default=5,
        validators=[MaxValueValidator(600)],
        help_text="Seconds a load waits at most for memory that an unloaded model gives back.",
    )

    # Usage
    usage_days = models.PositiveIntegerField(
        default=90,
        validators=[MaxValueValidator(3650)],
        help_text="Days for which single requests are kept; daily sums stay. 0: nothing is kept.",
    )

    # Clients
    require_api_key = models.BooleanField(
        default=False, help_text="Clients must bring a key; /health, /ui/ and /admin/ need none."
    )
    allowed_origins = models.JSONField(
        default=list,
        blank=True,
        help_text='Sites whose pages may use the API, such as ["https://chat.example"].',
    )
    max_body_mib = models.PositiveIntegerField(
        default=128,
        validators=[MinValueValidator(1), MaxValueValidator(16384)],
        help_text="Longest request body, in MiB.",
    )
    loading_heartbeat = models.PositiveIntegerField(
        default=0,
        validators=[MaxValueValidator(3600)],
        help_text="Seconds between signs of life to streaming clients that wait for a model to "
        "load; 0: none. The answer then begins with status 200 before the model is ready.",
    )
    connect_timeout = models.PositiveIntegerField(
        default=5,
        validators=[MinValueValidator(1), MaxValueValidator(3600)],
        help_text="Seconds until an engine must accept a connection.",
    )
    first_token_timeout = models.PositiveIntegerField(
        default=0,
        help_text="Seconds until an engine's answer must begin; 0: no limit. Reading a long "
        "prompt is in here.",
    )
    next_token_timeout = models.PositiveIntegerField(
        default=0, help_text="Seconds an engine may be silent within an answer; 0: no limit."
    )
    reading_timeout = models.PositiveIntegerField(
        default=60,
        validators=[MaxValueValidator(86400)],
        help_text="Seconds a client may take nothing of an answer that waits for it, until it is "
        "hung up on and its engine is free; 0: no limit.",
    )

    # Tuning
    backend = models.CharField(
        max_length=8, choices=Backend.choices, blank=True, help_text="Empty: detected."
    )
    gpu_type = models.CharField(
        "GPU type",
        max_length=64,
        blank=True,
        help_text="What clients show; nothing depends on it.",
    )
    vram_gb = models.FloatField(
        null=True, blank=True, validators=[MinValueValidator(0)], help_text="GiB; empty: detected."
    )
    ram_gb = models.FloatField(
        null=True, blank=True, validators=[MinValueValidator(0)], help_text="GiB; empty: detected."
    )
    preferred_context = models.PositiveIntegerField(
        default=32768, validators=[MinValueValidator(256)], help_text="Tokens."
    )
    min_context = models.PositiveIntegerField(
        default=4096, validators=[MinValueValidator(256)], help_text="Tokens."
    )
    throughput_first = models.BooleanField(
        default=True, help_text="Prefer speed; otherwise prefer a larger context."
    )
    enable_jinja = models.BooleanField(default=True, help_text="Use the model's own chat template.")

    # Files
    download_dir = models.CharField(
        max_length=4096, blank=True, help_text="Empty: `models` in the server's home."
    )

    # Revisions
    revisions_kept = models.PositiveIntegerField(
        default=500,
        validators=[MinValueValidator(1)],
        help_text="Revisions of the configuration that are kept; older ones go.",
    )
    revisions_megabytes = models.PositiveIntegerField(
        default=100,
        validators=[MinValueValidator(1)],
        help_text="Megabytes they may take together; the oldest go first.",
    )

    kept_keys = models.JSONField(default=dict, blank=True, editable=False)

    class Meta:
        verbose_name = "settings"
        verbose_name_plural = "settings"
        constraints = (
            models.CheckConstraint(condition=models.Q(pk=1), name="one_row_of_server_settings"),
        )

    def __str__(self) -> str:
        return "Server settings"

    @classmethod
    def current(cls) -> ServerSettings:
        """The one row, made with its defaults when missing."""
        return cls.objects.get_or_create(pk=1)[0]
