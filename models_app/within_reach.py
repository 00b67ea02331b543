"""Which models somebody may use or look after, for pages: told from the database."""

from __future__ import annotations

from collections.abc import Callable

from models_app.models import ServedModel, VirtualModel
from models_app.rights import Rights


def looked_after(rights: Rights) -> Callable[[str], bool]:
    """Tells of a model's id whether somebody manages it, or else may use it."""
    return (lambda name: True) if rights.manages_all else within_reach(rights)


def within_reach(rights: Rights) -> Callable[[str], bool]:
    """Tells of a model's id, or a virtual model's name, whether it may be used."""
    if not rights.is_limited:
        return lambda name: True
    groups = dict(ServedModel.objects.values_list("model_id", "group__name"))
    virtual = VirtualModel.all_members()

    def may_use(name: str) -> bool:
        members = [member for member in virtual.get(name, ()) if member in groups]
        return all(
            bound.holds(name, groups.get(name))
            or (bool(members) and all(bound.holds(one, groups[one]) for one in members))
            for bound in rights.bounds
        )

    return may_use
