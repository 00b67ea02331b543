from __future__ import annotations

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone

from models_app.models.limited import Limited
from models_app.rights import Scope

MOST_SHARES = 16


def least_scopes() -> list[str]:
    """What a key may be used for unless something else is said."""
    return [str(Scope.INFERENCE)]


class ApiKey(Limited):
    """A key that lets a client in. Only its digest is kept: a key is shown once, when made."""

    name = models.CharField(max_length=255, help_text="Whose key it is, or what for.")
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="api_keys",
        help_text="Whose it is. It never grants more than this person has.",
    )
    prefix = models.CharField(
        max_length=16, editable=False, help_text="How the key begins, to tell it from others."
    )
    digest = models.CharField(max_length=64, unique=True, editable=False)
    shared = models.BooleanField(
        default=False,
        editable=False,
        help_text="The one key that `apiKey` of /api/settings/system sets.",
    )
    created_at = models.DateTimeField("created", default=timezone.now, editable=False)
    last_used_at = models.DateTimeField("last used", null=True, blank=True, editable=False)
    expires_at = models.DateTimeField(
        "expires", null=True, blank=True, help_text="Empty: it does not."
    )
    revoked_at = models.DateTimeField("revoked", null=True, blank=True, editable=False)

    scopes = models.JSONField(default=least_scopes, help_text="What it may be used for.")
    priority = models.IntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(-1000), MaxValueValidator(1000)],
        help_text="Higher goes first. Empty: the model's own.",
    )
    queue_share = models.PositiveSmallIntegerField(
        "share of the queue",
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(MOST_SHARES)],
        help_text="As how many callers it counts when those who wait take turns.",
    )

    class Meta:
        ordering = ("-created_at", "-pk")
        verbose_name = "API key"
        constraints = (
            models.UniqueConstraint(
                fields=("shared",), condition=models.Q(shared=True), name="one_shared_api_key"
            ),
        )

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"
