from __future__ import annotations

from django.db import models

from proxy_app import request_ids


class UsageRow(models.Model):
    """One request that an engine was asked for, as it went. Written once, from the journal.

    It names people and models by number and by id, not by relation: they may be gone when the row
    is still counted. 0 stands for nobody.
    """

    at = models.DateTimeField("when", help_text="When the request had come.")
    model = models.CharField(max_length=255)
    path = models.CharField(max_length=255)
    key_id = models.BigIntegerField(default=0)
    person_id = models.BigIntegerField(default=0)
    status = models.PositiveSmallIntegerField(
        default=0, help_text="HTTP status; 499 when the client left before the end."
    )
    error = models.CharField(max_length=255, blank=True)
    streamed = models.BooleanField(default=False)

    tokens_in = models.PositiveIntegerField(null=True)
    tokens_cached = models.PositiveIntegerField(null=True)
    tokens_out = models.PositiveIntegerField(null=True)
    prompt_per_second = models.FloatField(null=True)
    tokens_per_second = models.FloatField(null=True)

    queue_ms = models.FloatField(default=0)
    load_ms = models.FloatField(default=0)
    first_ms = models.FloatField(
        "time to first token", null=True, help_text="From the request to the answer's first piece."
    )
    prompt_ms = models.FloatField(null=True)
    generation_ms = models.FloatField(null=True)
    total_ms = models.FloatField(default=0)
    engine_seconds = models.FloatField(
        default=0, help_text="The request's share of its engine's time."
    )
    gpu_seconds = models.FloatField(default=0, help_text="The same, times the GPUs it used.")
    request_id = models.CharField(
        max_length=request_ids.LONGEST,
        blank=True,
        db_default="",
        help_text="What the client, the engine and the log know it by (`X-Request-ID`).",
    )

    class Meta:
        ordering = ("-at", "-pk")
        verbose_name = "request"
        indexes = (
            models.Index(fields=("at",), name="usage_by_time"),
            models.Index(fields=("model", "at"), name="usage_by_model"),
            models.Index(fields=("key_id", "at"), name="usage_by_key"),
        )

    def __str__(self) -> str:
        return f"{self.model} at {self.at:%Y-%m-%d %H:%M:%S}"

    def timeline(self) -> dict[str, float | None]:
        """Where the time went, in milliseconds; None: unknown.

        Of an engine that tells no times, what passed before and after the answer's first piece.
        """
        prompt, generation = self.prompt_ms, self.generation_ms
        if self.first_ms is not None and prompt is None:
            prompt = max(0.0, round(self.first_ms - self.queue_ms - self.load_ms, 3))
        if self.first_ms is not None and generation is None:
            generation = max(0.0, round(self.total_ms - self.first_ms, 3))
        return {
            "queueMs": self.queue_ms,
            "loadMs": self.load_ms,
            "promptMs": prompt,
            "generationMs": generation,
            "firstTokenMs": self.first_ms,
            "totalMs": self.total_ms,
        }


class UsageSum(models.Model):
    """The requests of one model and key within a while, added up as they were written."""

    model = models.CharField(max_length=255)
    key_id = models.BigIntegerField(default=0)
    person_id = models.BigIntegerField(default=0)

    requests = models.BigIntegerField(default=0)
    errors = models.BigIntegerField(default=0)
    # The last version's worker may still add rows of its own while the next one starts.
    stopped = models.BigIntegerField(
        default=0, db_default=0, help_text="Whose client left before the end; no errors."
    )
    tokens_in = models.BigIntegerField(default=0)
    tokens_cached = models.BigIntegerField(default=0)
    tokens_out = models.BigIntegerField(default=0)
    total_ms = models.FloatField(default=0)
    engine_seconds = models.FloatField(default=0)
    gpu_seconds = models.FloatField(default=0)

    class Meta:
        abstract = True


class UsageHour(UsageSum):
    """One hour's sum."""

    start = models.DateTimeField(help_text="When the hour began.")

    class Meta:
        ordering = ("-start", "model")
        verbose_name = "usage in an hour"
        verbose_name_plural = "usage by hour"
        constraints = (
            models.UniqueConstraint(
                fields=("start", "model", "key_id", "person_id"), name="one_sum_an_hour"
            ),
        )

    def __str__(self) -> str:
        return f"{self.model} from {self.start:%Y-%m-%d %H:%M}"


class UsageDay(UsageSum):
    """One day's sum (UTC)."""

    start = models.DateTimeField(help_text="When the day began.")

    class Meta:
        ordering = ("-start", "model")
        verbose_name = "usage in a day"
        verbose_name_plural = "usage by day"
        constraints = (
            models.UniqueConstraint(
                fields=("start", "model", "key_id", "person_id"), name="one_sum_a_day"
            ),
        )

    def __str__(self) -> str:
        return f"{self.model} on {self.start:%Y-%m-%d}"


class JournalMark(models.Model):
    """How far one file of the journal has been taken over: in the same transaction as its rows."""

    segment = models.CharField(max_length=255, unique=True)
    offset = models.BigIntegerField(default=0, help_text="Bytes.")

    def __str__(self) -> str:
        return f"{self.segment} to {self.offset}"


class UsageCount(models.Model):
    """How many requests of a model fell into one class: a status, or a range of seconds.

    They only ever grow, so that a monitoring system can tell rates from them, also over restarts.
    """

    model = models.CharField(max_length=255)
    name = models.CharField(max_length=32, help_text="What was counted or measured.")
    label = models.CharField(
        max_length=16, help_text="The status, or the upper end of the range in seconds."
    )
    count = models.BigIntegerField(default=0)
    total = models.FloatField(default=0, help_text="Seconds of all of them together.")

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("model", "name", "label"), name="one_count_a_class"),
        )

    def __str__(self) -> str:
        return f"{self.model} {self.name} {self.label}: {self.count}"
