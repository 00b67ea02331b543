"""docs/settings.md: every setting a person can make, written from the models that hold them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from django.apps import apps
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import Field, JSONField, Model
from django.db.models.fields import NOT_PROVIDED

TABLES: Final = (
    ("models_app.ServerSettings", "The server", "In the admin under *Settings*."),
    (
        "models_app.ServedModel",
        "A model",
        "On its page in the admin. Empty means: chosen from the file and the machine.",
    ),
    ("models_app.ModelGroup", "A group of models", "In the admin under *Groups*."),
    ("models_app.ModelFolder", "A folder", "In the admin under *Folders*."),
    ("downloads_app.DownloadSettings", "Downloads", "In the admin under *Download settings*."),
)

HEAD: Final = """\
# Every setting

Written from the code by `manage.py settings_reference`. Variables of the environment, which are
read at the start, stand in the README.
"""


def page() -> str:
    """The whole page, in Markdown."""
    return HEAD + "".join(_section(*table) for table in TABLES)


def _section(label: str, title: str, where: str) -> str:
    model = apps.get_model(label)
    lines = [f"| {' | '.join(row)} |" for row in _rows(model)]
    head = "| setting | what it does | default | may be |\n|---|---|---|---|"
    return f"\n## {title}\n\n{where}\n\n{head}\n" + "\n".join(lines) + "\n"


def _rows(model: type[Model]) -> Iterator[tuple[str, str, str, str]]:
    for field in model._meta.fields:
        if field.primary_key or not field.editable:
            continue
        yield (
            f"{field.verbose_name!s} (`{field.name}`)"
            if str(field.verbose_name) != field.name
            else f"`{field.name}`",
            _cell(str(field.help_text)),
            _cell(_default(field)),
            _cell(_range(field)),
        )


def _default(field: Field[Any, Any]) -> str:
    if field.default is NOT_PROVIDED or field.default is None:
        return ""
    value = field.get_default()
    if isinstance(value, bool):
        return "on" if value else "off"
    if value in ("", [], {}):
        return ""
    return f"`{value}`"


def _range(field: Field[Any, Any]) -> str:
    if field.choices:
        return ", ".join(f"`{value}`" for value, _ in field.flatchoices if value != "")
    if isinstance(field, JSONField):
        return ""
    lowest = [v.limit_value for v in field.validators if isinstance(v, MinValueValidator)]
    highest = [v.limit_value for v in field.validators if isinstance(v, MaxValueValidator)]
    # The database's own limits say nothing about what makes sense.
    most = min((value for value in highest if value < 2**31 - 1), default=None)
    least = max((value for value in lowest if value > -(2**31)), default=None)
    if least is not None and most is not None:
        return f"{least} to {most}"
    if most is not None:
        return f"at most {most}"
    return f"at least {least}" if least is not None else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
