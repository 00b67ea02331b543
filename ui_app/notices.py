"""What is wrong with this server right now, each with what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext as _

from models_app import engine_build, engine_installs, hand_edits
from ui_app import navigation, runtime


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that is wrong, and its remedy."""

    title: str
    text: str
    tone: str = "bad"
    address: str = ""
    """Where the remedy is; empty when the text is all."""
    act: str = ""


def notices(now: runtime.Now) -> list[Notice]:
    """Everything that a person should do something about."""
    found = []
    if problem := _engine_problem():
        found.append(_of_engine(problem))
    found += [_of_config(problem) for problem in hand_edits.problems()]
    if not now.has_engines:
        text = _(
            "It runs no engines, so no model can be loaded here. Start the whole server with "
            "`make run`."
        )
        found.append(Notice(_("This server shows pages only"), text, "busy"))
    return found


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
