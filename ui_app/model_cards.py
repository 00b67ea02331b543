"""What the models page shows of each model, put together from the registry and the runner."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.db.models.fields.json import KeyTextTransform
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.functional import Promise
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from models_app.kinds import Kind
from models_app.models import GgufFile, ServedModel
from models_app.units import binary_size, short_count
from proxy_app.log_files import log_path
from ui_app.runtime import Needs, Now

Text = str | Promise


class State(StrEnum):
    """What a model does. The first four are the engine's, as the event stream names them."""

    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    UNAVAILABLE = "unavailable"  # its file cannot be served
    DISABLED = "disabled"  # switched off by a person
    OFFLINE = "offline"  # this process runs no engines


LABELS: Mapping[State, Text] = {
    State.STOPPED: gettext_lazy("Stopped"),
    State.STARTING: gettext_lazy("Loading"),
    State.READY: gettext_lazy("Ready"),
    State.STOPPING: gettext_lazy("Unloading"),
    State.UNAVAILABLE: gettext_lazy("Not available"),
    State.DISABLED: gettext_lazy("Switched off"),
    State.OFFLINE: gettext_lazy("No engine"),
}

KINDS: Mapping[Kind, Text] = {
    Kind.CHAT: gettext_lazy("Chat"),
    Kind.VISION: gettext_lazy("Chat, with images"),
    Kind.AUDIO: gettext_lazy("Chat, with sound"),
    Kind.BASE: gettext_lazy("Completion"),
    Kind.EMBEDDING: gettext_lazy("Embedding"),
    Kind.RERANKER: gettext_lazy("Reranking"),
    Kind.SPEECH: gettext_lazy("Speech"),
    Kind.PROJECTOR: gettext_lazy("Projector"),
    Kind.DRAFT: gettext_lazy("Draft"),
    Kind.LORA: gettext_lazy("LoRA"),
}


@dataclass(frozen=True, slots=True)
class Fact:
    """One labelled value of a model."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Card:
    """One model as the page shows it."""

    pk: int
    model_id: str
    title: str
    """A name that a person gave it; empty when it has none beyond its file's."""
    file: str
    kind: str
    state: State
    rest_state: State
    """What it shows while no engine runs for it."""
    elapsed: int
    """Seconds it has been in its state; 0 where that is not told."""
    in_flight: int
    queued: int
    problem: str
    log: Path
    row: ServedModel
    size: int | None = None
    """Bytes on disk, all parts together."""
    context: int | None = None
    """Tokens it was trained for."""
    kind_label: str = ""
    quantization: str = ""
    needs: Needs = field(default_factory=Needs)
    pinned: bool = False
    last_used: datetime | None = None

    # The list shows neither of these two, and they take a query and a third of a card's time.
    @property
    def facts(self) -> list[Fact]:
        return list(_facts(self.row))

    @property
    def aliases(self) -> list[str]:
        return [alias.alias for alias in self.row.aliases.all()]

    @property
    def memory(self) -> int | None:
        """Bytes it takes of all devices, as measured, else as planned."""
        return sum(self.needs.known.values()) or None

    @property
    def off_by(self) -> int | None:
        """How many percent the plan was above what was measured; None without both."""
        planned, measured = self.needs.planned, self.needs.measured
        if not planned or not measured:
            return None
        return round(100 * (sum(planned.values()) / max(1, sum(measured.values())) - 1))

    @property
    def state_label(self) -> Text:
        return LABELS[self.state]

    @property
    def work(self) -> str:
        """What it is doing, in words; empty when nothing."""
        parts = []
        if self.in_flight:
            parts.append(_("%(count)s running") % {"count": self.in_flight})
        if self.queued:
            parts.append(_("%(count)s waiting") % {"count": self.queued})
        return " · ".join(parts)

    @property
    def since(self) -> str:
        """When it came into its state, as ISO 8601."""
        return (timezone.now() - timedelta(seconds=self.elapsed)).isoformat(timespec="seconds")

    @property
    def act(self) -> str:
        """What its button asks for: "load" or "unload"."""
        return "unload" if self.state in (State.STARTING, State.READY) else "load"

    @property
    def is_busy(self) -> bool:
        """Whether its state changes soon, without anybody acting."""
        return self.state in (State.STARTING, State.STOPPING)

    @property
    def is_servable(self) -> bool:
        """Whether load and unload make sense."""
        return self.rest_state is State.STOPPED


def listed() -> QuerySet[ServedModel]:
    """All models, with what `cards` reads of them."""
    projectors = ("file__projector", "projector")
    unread = [
        f"{projector}__{column.name}"
        for projector in projectors
        for column in GgufFile._meta.concrete_fields
        if column.name not in ("id", "state", "facts")
    ]
    return (
        ServedModel.objects.select_related("file__folder", *projectors)
        .prefetch_related("file__later_parts")
        # Of the deferred facts only these two, which are short.
        .annotate(
            knows_tools=KeyTextTransform("tools", "file__facts"),
            knows_reasoning=KeyTextTransform("reasoning", "file__facts"),
        )
        .defer("metadata", "kept_keys", "file__facts", *unread)
    )


def cards(models: Iterable[ServedModel], now: Now) -> list[Card]:
    """A card for each model, as it is right now.

    A status may tell how many seconds the state lasts, as `elapsed`.
    """
    known = {status["id"]: status for status in now.statuses}
    return [_card(model, known.get(model.model_id), now) for model in models]


def _card(model: ServedModel, status: Mapping[str, Any] | None, now: Now) -> Card:
    rest_state, problem = _at_rest(model, now.has_engines)
    state = State(status["state"]) if status else State.STOPPED
    file = model.file
    return Card(
        pk=model.pk,
        model_id=model.model_id,
        title=_title(model),
        file=file.relative_path if file else "",
        kind=model.kind(),
        state=rest_state if state is State.STOPPED else state,
        rest_state=rest_state,
        elapsed=int(status.get("elapsed", 0)) if status else 0,
        in_flight=status["inFlight"] if status else 0,
        queued=status["queued"] if status else 0,
        problem=problem or (status["problem"] if status else ""),
        log=log_path(settings.CLARACORE_HOME, model.model_id),
        row=model,
        size=_size(file),
        context=file.context_length if file else None,
        kind_label=_kind(model) if file else "",
        quantization=file.quantization if file else "",
        needs=now.needs.get(model.model_id, Needs()),
        pinned=model.pinned,
        last_used=model.last_used_at,
    )


def _size(file: GgufFile | None) -> int | None:
    return file.size + sum(part.size for part in file.later_parts.all()) if file else None


def _at_rest(model: ServedModel, has_engines: bool) -> tuple[State, str]:
    """What it shows while no engine runs for it, and why it cannot be served, if it cannot."""
    if not model.enabled:
        return State.DISABLED, ""
    if model.file and not model.file.folder.enabled:
        return State.DISABLED, _("Its folder is switched off.")
    if not model.cmd.strip():
        if model.file is None:
            return State.UNAVAILABLE, _("Its file is no longer in a tracked folder.")
        if model.file.state != GgufFile.State.OK:
            return State.UNAVAILABLE, model.file.problem
    return (State.STOPPED if has_engines else State.OFFLINE), ""


def _title(model: ServedModel) -> str:
    """The name, unless it only repeats the file's."""
    name = model.name.strip()
    if name == model.model_id or (model.file and name in model.file.relative_path):
        return ""
    return name


def _facts(model: ServedModel) -> Iterable[Fact]:
    file = model.file
    if file is None:
        if model.cmd:
            yield Fact(_("Runs"), _("a command of its own"))
        return
    yield Fact(_("Kind"), _kind(model))
    if file.quantization:
        yield Fact(_("Quantization"), file.quantization)
    if file.parameters:
        yield Fact(_("Parameters"), short_count(file.parameters))
    yield Fact(_("Size"), binary_size(_size(file) or 0))
    if file.context_length:
        tokens = number_format(file.context_length, force_grouping=True)
        yield Fact(_("Trained context"), _("%(count)s tokens") % {"count": tokens})
    if skills := _skills(model):
        yield Fact(_("Chat skills"), skills)


def _skills(model: ServedModel) -> str:
    """What its chat template shows that it was taught; only rows of `listed` know."""
    # As text, a JSON true is "true" on every database.
    known = {
        name for name in ("knows_tools", "knows_reasoning") if getattr(model, name, None) == "true"
    }
    labels = {"knows_tools": _("tools"), "knows_reasoning": _("reasoning")}
    return ", ".join(label for name, label in labels.items() if name in known)


def _kind(model: ServedModel) -> str:
    kind = model.kind()
    label = str(KINDS.get(Kind(kind)) or capfirst(kind)) if kind else _("Unknown")
    if kind == Kind.BASE and model.projector_file() is not None:
        return _("%(kind)s, with images") % {"kind": label}
    return label
