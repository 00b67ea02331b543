"""The models that can be tried, and what each can be asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from models_app.kinds import Kind
from models_app.models import ServedModel, VirtualModel
from models_app.rights import LOCAL, Rights
from models_app.within_reach import within_reach
from proxy_app import questions
from proxy_app.errors import NotServing


class Task(StrEnum):
    """What a model can be asked for."""

    CHAT = "chat"
    EMBEDDINGS = "embeddings"
    RERANK = "rerank"
    TRANSCRIPTION = "transcription"
    SPEECH = "speech"


LABELS: Final[Mapping[Task, Promise]] = {
    Task.CHAT: _("Chat"),
    Task.EMBEDDINGS: _("Embeddings"),
    Task.RERANK: _("Reranking"),
    Task.TRANSCRIPTION: _("Transcription"),
    Task.SPEECH: _("Speech"),
}

_OFFERED: Final[Mapping[str, frozenset[Task]]] = {
    Kind.CHAT: frozenset({Task.CHAT}),
    Kind.VISION: frozenset({Task.CHAT}),
    Kind.AUDIO: frozenset({Task.CHAT, Task.TRANSCRIPTION}),
    Kind.BASE: frozenset({Task.CHAT}),
    Kind.EMBEDDING: frozenset({Task.EMBEDDINGS}),
    Kind.RERANKER: frozenset({Task.RERANK}),
    Kind.SPEECH: frozenset({Task.SPEECH}),
}

_TAKES: Final[Mapping[str, tuple[str, ...]]] = {
    Kind.VISION: ("image",),
    Kind.AUDIO: ("sound",),
    "": ("image", "sound"),
}
"""What may be attached to a question. Of an engine with a command of its own nobody knows."""


_COLUMNS: Final = (
    *("model_id", "name", "use_projector", "file__kind", "file__relative_path"),
    *("file__projector__kind", "file__projector__state", "file__projector__facts"),
    *("projector__kind", "projector__state", "projector__facts"),
)
"""What kinds and names are told by."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A model as it is offered."""

    model_id: str
    kind: str
    """A `Kind`; "" when nobody knows, as of a model with a command of its own."""
    state: str = "stopped"
    name: str = ""

    @property
    def tasks(self) -> frozenset[Task]:
        """What it can be asked for; anything while its kind is unknown."""
        return _OFFERED.get(self.kind, frozenset()) if self.kind else frozenset(Task)

    @property
    def takes(self) -> tuple[str, ...]:
        """What may be attached to a question: "image", "sound"."""
        return _TAKES.get(self.kind, ())

    @property
    def continues(self) -> bool:
        """Whether it was not taught to answer, and only goes on with a text."""
        return self.kind == Kind.BASE

    @property
    def label(self) -> str:
        """Its name for people, with the id it answers to."""
        return f"{self.name} ({self.model_id})" if self.name else self.model_id


def choices(rights: Rights = LOCAL) -> list[Choice]:
    """All served models that somebody may use, sorted by id, virtual ones among them."""
    may_use = within_reach(rights)
    states = _states()
    rows = (
        ServedModel.objects.filter(enabled=True)
        .select_related("file", "file__projector", "projector")
        .only(*_COLUMNS)
    )
    found = [
        Choice(row.model_id, row.kind(), states[row.model_id], _name(row))
        for row in rows
        if row.model_id in states
    ]
    found += [Choice(row.name, Kind.CHAT) for row in VirtualModel.objects.all()]
    usable = (choice for choice in found if may_use(choice.model_id))
    return sorted(usable, key=lambda choice: choice.model_id)


def preferred(offered: list[Choice], task: Task, wanted: str) -> Choice | None:
    """The model to begin with: the wanted one, else a loaded one, else the first.

    Most models chat, so for anything else one that is known to do it goes before one of which
    nobody knows.
    """

    def distance(choice: Choice) -> tuple[bool, bool, bool, bool]:
        is_unknown = not choice.kind
        is_doubtful = is_unknown and task is not Task.CHAT
        return choice.model_id != wanted, is_doubtful, choice.state != "ready", is_unknown

    return min(offered, key=distance, default=None)


def _name(row: ServedModel) -> str:
    """The name a person gave it; one that only repeats its id or its file says nothing."""
    name = row.name.strip()
    repeats = name == row.model_id or (row.file and name in row.file.relative_path)
    return "" if repeats else name


def _states() -> dict[str, str]:
    """Every served model's state; none in a process without engines."""

    try:
        return {one["id"]: one["state"] for one in questions.ask("statuses")}
    except NotServing:
        return {}
