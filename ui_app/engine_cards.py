"""What the engines page shows of each build of llama-server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from downloads_app.engines import news
from models_app import engine_installs
from models_app.engine_help import EngineDevice
from models_app.models import EngineInstall, ServedModel
from models_app.units import binary_size

Text = str | Promise
Status = EngineInstall.Status
Source = EngineInstall.Source

LABELS: Mapping[str, Text] = {
    Status.QUEUED: gettext_lazy("Waiting"),
    Status.RUNNING: gettext_lazy("On its way"),
    Status.TRYING: gettext_lazy("Being tried"),
    Status.READY: gettext_lazy("Ready"),
    Status.FAILED: gettext_lazy("Failed"),
}

LOOKS: Mapping[str, str] = {
    Status.QUEUED: "queued",
    Status.RUNNING: "starting",
    Status.TRYING: "starting",
    Status.READY: "stopped",
    Status.FAILED: "failed",
}
"""How a state is coloured, in the words of the style sheet."""

PHASES: Mapping[str, Text] = {
    "looking": gettext_lazy("Reading the list of releases"),
    "fetching": gettext_lazy("Fetching"),
    "unpacking": gettext_lazy("Unpacking"),
    "copying": gettext_lazy("Copying"),
    "placing": gettext_lazy("Putting it beside the others"),
}

SOURCES: Mapping[str, Text] = {
    Source.RELEASE: gettext_lazy("a release of llama.cpp"),
    Source.ARCHIVE: gettext_lazy("an archive on this server"),
    Source.FOLDER: gettext_lazy("a folder on this server"),
    Source.PATH: gettext_lazy("a program on this server, used in place"),
    Source.WHEEL: gettext_lazy("the Python package"),
}


@dataclass(frozen=True, slots=True)
class Card:
    """One build as the page shows it."""

    pk: int
    name: str
    look: str
    label: Text
    phase: Text
    percent: float | None
    """None while nothing is known of its bytes."""
    amounts: str
    source: Text
    origin: str
    path: str
    is_active: bool
    is_wanted: bool
    is_previous: bool
    """Whether going back leads to it."""
    is_busy: bool
    is_verified: bool
    trial: Text
    """What its trial run showed."""
    tried_at: datetime | None
    reason: str
    note: str
    devices: tuple[EngineDevice, ...]
    pinned_by: tuple[str, ...]
    kept_because: str
    """Why it cannot be removed now; "" when it can."""

    @property
    def can_be_used(self) -> bool:
        return bool(self.path) and not self.is_active and not self.is_busy


def cards() -> list[Card]:
    """A card for each build, the active one first. Uses the database."""
    rows = list(
        EngineInstall.objects.select_related("build", "previous").order_by("-active", "-pk")
    )
    pins = _pins()
    return [_card(row, rows, pins.get(row.build_id or 0, ())) for row in rows]


def _card(row: EngineInstall, rows: Sequence[EngineInstall], pins: tuple[str, ...]) -> Card:
    percent = news.progress(row) if row.status == Status.RUNNING else -1.0
    devices = row.build.devices if row.build else []
    return Card(
        pk=row.pk,
        name=str(row),
        look="ready" if row.active else LOOKS[row.status],
        label=_("In use") if row.active else LABELS[row.status],
        phase=PHASES.get(row.phase, ""),
        percent=None if percent < 0 else percent,
        amounts=_amounts(row),
        source=SOURCES.get(row.source, row.source),
        origin=row.origin,
        path=row.binary,
        is_active=row.active,
        is_wanted=row.wanted,
        is_previous=any(one.active and one.previous_id == row.pk for one in rows),
        is_busy=row.status in (Status.QUEUED, Status.RUNNING, Status.TRYING),
        is_verified=row.verified,
        trial=_trial(row),
        tried_at=row.tried_at,
        reason=row.reason,
        note=row.note,
        devices=tuple(EngineDevice.from_dict(device) for device in devices),
        pinned_by=pins,
        kept_because=engine_installs.why_kept(row),
    )


def _trial(row: EngineInstall) -> Text:
    if row.status == Status.TRYING:
        return _("It is loading a tiny model now.")
    if row.tried_at is None:
        return _("Not tried yet")
    if row.status == Status.FAILED:
        return _("Failed")
    return _("Passed: it listed its devices, loaded a tiny model and answered")


def _amounts(row: EngineInstall) -> str:
    if row.status != Status.RUNNING or not row.total_bytes:
        return ""
    return _("%(done)s of %(total)s") % {
        "done": binary_size(row.done_bytes),
        "total": binary_size(row.total_bytes),
    }


def _pins() -> dict[int, tuple[str, ...]]:
    """The models that are pinned to a build, by the build."""
    found: dict[int, tuple[str, ...]] = {}
    pinned = ServedModel.objects.filter(engine__isnull=False).order_by("model_id")
    for model, build in pinned.values_list("model_id", "engine_id"):
        found[build] = (*found.get(build, ()), model)
    return found
