from __future__ import annotations

from django.db import models

from models_app.models.nodes import OnNode
from models_app.nodes import this_node
from models_app.sealed import SealedField


class ChangeClock(models.Model):
    """Counts every change to a configuration table. Kept by database triggers (changes.py)."""

    version = models.BigIntegerField(default=0)

    class Meta:
        constraints = (models.CheckConstraint(condition=models.Q(pk=1), name="one_change_clock"),)

    def __str__(self) -> str:
        return f"version {self.version}"


class ChangeNote(models.Model):
    """Why the clock went from one version to another, and who did it, as far as known.

    Kept until the revision that holds the change takes its words over.
    """

    from_version = models.BigIntegerField()
    to_version = models.BigIntegerField(db_index=True)
    cause = models.CharField(max_length=255)
    author = models.CharField(max_length=150, blank=True)

    def __str__(self) -> str:
        return self.cause


class Revision(OnNode):
    """One state of the configuration: the config.yaml it gave, and the choices it came from.

    Secrets stand in neither; `secrecy` knows how they are marked and put back.
    """

    class Kind(models.TextChoices):
        CHANGE = "change", "change"
        WAITING = "waiting", "edit by hand, not taken in"
        APPLIED = "applied", "edit by hand, taken in later"
        DISMISSED = "dismissed", "edit by hand, dismissed"

    created_at = models.DateTimeField(auto_now_add=True)
    kind = models.CharField(max_length=9, choices=Kind.choices, default=Kind.CHANGE)
    version = models.BigIntegerField(
        default=0, help_text="What the clock of changes said when it was read."
    )
    cause = models.CharField(max_length=255, blank=True)
    author = models.CharField(max_length=150, blank=True)
    summary = models.JSONField(default=list, blank=True, help_text="What changed, in words.")
    digest = models.CharField(max_length=64, db_index=True, help_text="SHA-256 of config.yaml.")
    yaml = models.TextField()
    choices = models.JSONField(null=True, blank=True, help_text="What people had chosen.")
    size = models.PositiveIntegerField(default=0, help_text="Characters it takes.")
    base = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="edits",
        help_text="For an edit by hand: the revision that was edited.",
    )

    class Meta:
        ordering = ("-pk",)

    def __str__(self) -> str:
        return f"revision {self.pk}"


class ConfigFile(OnNode):
    """What is known of the config.yaml on disk: one row a node."""

    digest = models.CharField(
        max_length=64, blank=True, help_text="SHA-256 of the text that was written or taken in."
    )
    by_hand = models.BooleanField(default=False, help_text="A person wrote that text.")
    base = models.ForeignKey(Revision, null=True, on_delete=models.SET_NULL, related_name="+")
    taken_yaml = models.TextField(
        blank=True,
        help_text="What an edit said that was taken in, until a revision says the same.",
    )
    problem = models.TextField(blank=True, help_text="Why the text on disk is not taken in.")
    refused_digest = models.CharField(max_length=64, blank=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("node",), name="one_config_file_a_node"),)

    def __str__(self) -> str:
        return "config.yaml"

    @classmethod
    def current(cls) -> ConfigFile:
        """The one row, made when missing."""
        return cls.objects.select_related("base").get_or_create(node=this_node())[0]


class KeptSecret(models.Model):
    """A secret of a configuration, under the mark that stands for it in revisions."""

    mark = models.CharField(max_length=32, unique=True)
    value = SealedField()

    def __str__(self) -> str:
        return self.mark
