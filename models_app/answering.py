"""Giving a model one more id it answers to."""

from __future__ import annotations

from django.db import transaction

from models_app import introduce
from models_app.models import ModelAlias, ServedModel


def also_as(model: ServedModel, wanted: str) -> str:
    """Let the model answer to `wanted`, too; why it does not, or "".

    An id that is another model's stays with that one.
    """
    if not wanted or wanted == model.model_id:
        return ""
    with transaction.atomic():
        introduce.lock()
        alias = ModelAlias.objects.select_related("model").filter(alias=wanted).first()
        holder = alias.model if alias else ServedModel.everywhere.filter(model_id=wanted).first()
        if holder == model:
            return ""
        if holder is not None:
            return (
                f"The id {wanted} already belongs to another model, so this one is served as "
                f"{model.model_id}."
            )
        ModelAlias.objects.create(alias=wanted, model=model)
    return ""
