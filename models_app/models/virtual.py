from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import models


def is_list_of_names(value: Any) -> None:
    """Raises ValidationError for what is not a list of ids."""
    if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
        raise ValidationError('Enter a list of model ids, such as ["qwen3-8b", "llama-3.2-3b"].')


class VirtualModel(models.Model):
    """A name that stands for one of several models: the first that is loaded, else the first."""

    name = models.CharField("id", max_length=255, unique=True)
    members = models.JSONField(
        default=list,
        validators=[is_list_of_names],
        help_text="Ids of models, the preferred one first. A request goes to the first of them "
        "that is loaded; when none is, the first is loaded.",
    )

    class Meta:
        ordering = ("name",)
        verbose_name = "virtual model"

    def __str__(self) -> str:
        return self.name

    @classmethod
    def all_members(cls) -> dict[str, list[str]]:
        """Every virtual model's members, by its name; badly formed ones left out."""
        return {
            row.name: [str(one) for one in row.members]
            for row in cls.objects.all()
            if isinstance(row.members, list)
        }
