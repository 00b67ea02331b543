from __future__ import annotations

from django.db import models
from django.utils import timezone


class ApiKey(models.Model):
    """A key that lets a client in. Only its digest is kept: a key is shown once, when made."""

    name = models.CharField(max_length=255, help_text="Whose key it is, or what for.")
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
