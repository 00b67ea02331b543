from __future__ import annotations

from django.db import models
from django.utils import timezone


class AuditEntry(models.Model):
    """One administrative act: who did what, and what it was before and after. Never changed.

    People and keys are named by number and by name: they may be gone when it is read.
    """

    at = models.DateTimeField("when", default=timezone.now)
    who = models.CharField(max_length=255, blank=True, help_text="The person's or key's name.")
    person_id = models.BigIntegerField(default=0)
    key_id = models.BigIntegerField(default=0)
    address = models.CharField(max_length=64, blank=True, help_text="Where the request came from.")
    kind = models.CharField(
        max_length=32, help_text="What it was about, such as settings, keys or login."
    )
    what = models.CharField(max_length=255, help_text="What was done.")
    before = models.JSONField(default=dict, blank=True)
    after = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ("-at", "-pk")
        verbose_name = "act"
        verbose_name_plural = "audit log"
        indexes = (
            models.Index(fields=("at",), name="audit_by_time"),
            models.Index(fields=("kind", "at"), name="audit_by_kind"),
            models.Index(fields=("person_id", "at"), name="audit_by_person"),
        )

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.who or 'nobody'}: {self.what}"
