from __future__ import annotations

from typing import Final

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models

AMOUNTS: Final = (
    "requests_per_minute",
    "tokens_per_minute",
    "tokens_per_day",
    "tokens_per_month",
    "parallel_requests",
)
"""The columns that say how much."""

LIMITS: Final = ("allowed_models", "allowed_groups", *AMOUNTS)
"""All columns of a `Limited`."""


class Limited(models.Model):
    """What a key, or a person with all their keys, is limited to. Empty: not limited."""

    allowed_models = models.JSONField(
        default=list, blank=True, help_text="Ids of the only models it may use. Empty: all."
    )
    allowed_groups = models.JSONField(
        default=list, blank=True, help_text="Groups whose models it may use as well."
    )
    requests_per_minute = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1)]
    )
    tokens_per_minute = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1)]
    )
    tokens_per_day = models.PositiveBigIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1)], help_text="Days are those of UTC."
    )
    tokens_per_month = models.PositiveBigIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1)]
    )
    parallel_requests = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1)], help_text="At the same time."
    )

    class Meta:
        abstract = True


class PersonLimits(Limited):
    """What one person is limited to, signed in and with every key of theirs together."""

    person = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="limits",
    )

    class Meta:
        verbose_name = "limits of a person"
        verbose_name_plural = "limits of people"

    def __str__(self) -> str:
        return f"Limits of {self.person}"
