"""What is wrong with this server right now, each with what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from django.urls import reverse
from django.utils.translation import gettext as _

from models_app import engine_build, engine_installs, hand_edits
from models_app.models import ModelFolder, ServedModel
from models_app.rights import Rights
from ui_app import navigation, runtime

FAILED_SHOWN: Final = 3
"""Up to so many models that could not be loaded have a notice each."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that is wrong, and its remedy."""

    title: str
    text: str
    tone: str = "bad"
    address: str = ""
    """Where the remedy is; empty when the text is all."""
    act: str = ""


def notices(now: runtime.Now, rights: Rights) -> list[Notice]:
    """Everything that a person should do something about.

    What is wrong with config.yaml names models, which only those hear who may use them all.
    """
    found = []
    if problem := _engine_problem():
        found.append(_of_engine(problem))
    if rights.manages_all or not rights.is_limited:
        found += [_of_config(problem) for problem in hand_edits.problems()]
    if not now.has_engines:
        text = _(
            "It runs no engines, so no model can be loaded here. Start the whole server with "
            "`make run`."
        )
        found.append(Notice(_("This server shows pages only"), text, "busy"))
    return found


def of_models(now: runtime.Now) -> list[Notice]:
    """Models that could not be loaded and folders that cannot be read, for who cares for them."""
    folders = ModelFolder.objects.filter(enabled=True).exclude(problem="")
    failed = {one["id"]: one for one in now.in_state("stopped") if one["problem"]}
    rows = ServedModel.objects.filter(model_id__in=failed).order_by("model_id")
    if len(failed) > FAILED_SHOWN:
        of_failed = [_of_many(sorted(failed))]
    else:
        of_failed = [_of_model(row, failed[row.model_id]["problem"]) for row in rows]
    return [*map(_of_folder, folders), *of_failed]


def _of_folder(folder: ModelFolder) -> Notice:
    title = _("%(folder)s needs you") % {"folder": folder.path}
    there = f"{reverse('ui-setup')}#folders"
    return Notice(title, folder.problem, address=there, act=_("Folders"))


def _of_model(model: ServedModel, problem: str) -> Notice:
    title = _("%(model)s could not be loaded") % {"model": model.model_id}
    there = reverse("ui-model", args=[model.pk])
    return Notice(title, problem, address=there, act=_("Look at it"))


def _of_many(models: Sequence[str]) -> Notice:
    title = _("%(count)s models could not be loaded") % {"count": len(models)}
    there = f"{reverse('ui-models')}?state=problem"
    return Notice(title, ", ".join(models), address=there, act=_("Look at them"))


def _engine_problem() -> str:
    try:
        return "" if engine_installs.locate() else engine_build.NO_ENGINE_HELP
    except engine_build.EngineProblem as error:
        return str(error)


def _of_engine(problem: str) -> Notice:
    address = navigation.first("ui-engines", "admin:models_app_engineinstall_changelist")
    return Notice(_("There is no engine"), problem, address=address, act=_("Engines"))


def _of_config(problem: str) -> Notice:
    address = navigation.first("ui-configuration", "admin:models_app_revision_changelist")
    title = _("An edit of config.yaml needs you")
    return Notice(title, problem, address=address, act=_("Revisions of the configuration"))
