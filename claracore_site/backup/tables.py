"""Which tables a backup has, and their values as JSON."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any, Final

from django.apps.registry import Apps
from django.db.models import BinaryField, Field, JSONField, Model

LEFT_OUT: Final = frozenset({"sessions", "django_eventstream", "axes"})
"""Apps whose rows mean nothing elsewhere or later: who is signed in, what the pages were told."""

OF_NOW: Final = frozenset({"models_app.Node"})
"""Tables of what runs at the moment: a server elsewhere must not wait for one that is not there."""

ALREADY_MARKED: Final = frozenset({"models_app.Revision", "models_app.ConfigFile"})
"""Tables whose texts have marks for secrets, which stay marks."""

SECRETS: Final = "models_app.KeptSecret"
"""The table that holds the secrets behind those marks: it goes to the secret part whole."""

MAY_HOLD_SECRETS: Final = frozenset({"auth", "downloads_app", "models_app"})


def all_of(apps: Apps) -> list[type[Model]]:
    """The models whose rows a backup holds, by label."""
    models = [
        model
        for model in apps.get_models(include_auto_created=True)
        if model._meta.managed
        and not model._meta.proxy
        and model._meta.app_label not in LEFT_OUT
        and model._meta.label not in OF_NOW | {SECRETS}
    ]
    return sorted(models, key=lambda model: model._meta.label)


def columns(model: type[Model]) -> list[Field[Any, Any]]:
    """A table's columns."""
    return list(model._meta.concrete_fields)


def rows(model: type[Model], using: str) -> Iterator[list[Any]]:
    """A table's rows as JSON values, by primary key."""
    fields = columns(model)
    names = [field.attname for field in fields]
    binary = [index for index, field in enumerate(fields) if isinstance(field, BinaryField)]
    found = model._base_manager.using(using).order_by("pk").values_list(*names)
    for row in found.iterator(chunk_size=500):
        values = list(row)
        for index in binary:
            if values[index] is not None:
                values[index] = base64.b64encode(bytes(values[index])).decode()
        yield values


def reading(field: Field[Any, Any]) -> Callable[[Any], Any]:
    """What makes a column's value of its JSON."""
    if isinstance(field, BinaryField):
        return lambda value: None if value is None else base64.b64decode(value)
    if isinstance(field, JSONField):
        return lambda value: value
    return field.to_python
