from __future__ import annotations

from typing import ClassVar, Self, TypeVar

from django.db import models

from models_app import nodes

Row = TypeVar("Row", bound=models.Model)


class OfThisNode(models.Manager[Row]):
    """The rows of this node: those of another are neither seen nor changed through it."""

    def get_queryset(self) -> models.QuerySet[Row]:
        return super().get_queryset().filter(node=nodes.this_node())


class OnNode(models.Model):
    """A row that belongs to one node: what it tells of lies, runs or is fetched there."""

    node = models.CharField(
        max_length=nodes.LONGEST,
        default=nodes.this_node,
        db_default=nodes.DEFAULT,
        editable=False,
        help_text="The host it belongs to (CLARACORE_NODE).",
    )

    # The first is what Django's own parts use as well: forms, choices and the admin.
    objects: ClassVar[OfThisNode[Self]] = OfThisNode()
    everywhere: ClassVar[models.Manager[Self]] = models.Manager()

    class Meta:
        abstract = True


class Node(models.Model):
    """A node that goes by its name, and the home folder whose server does."""

    name = models.CharField(max_length=nodes.LONGEST, unique=True)
    home = models.CharField(max_length=32, help_text="Tells one home folder from another.")
    host = models.CharField(max_length=255, blank=True, help_text="What its machine calls itself.")
    seen_at = models.DateTimeField(
        "last seen", null=True, blank=True, help_text="Empty: its server was stopped."
    )

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name
