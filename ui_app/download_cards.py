"""What the downloads page shows of each download."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from downloads_app import info
from downloads_app.models import Download
from downloads_app.trouble import Kind
from models_app.models import ServedModel
from models_app.units import binary_size

Text = str | Promise
Status = Download.Status

LABELS: Mapping[str, Text] = {
    Status.PENDING: gettext_lazy("Waiting"),
    Status.DOWNLOADING: gettext_lazy("Downloading"),
    Status.PAUSED: gettext_lazy("Paused"),
    Status.COMPLETED: gettext_lazy("Here"),
    Status.FAILED: gettext_lazy("Failed"),
    Status.CANCELLED: gettext_lazy("Cancelled"),
}

PHASES: Mapping[str, Text] = {
    "looking": gettext_lazy("Asking the server about it"),
    "fetching": gettext_lazy("Fetching"),
    "waiting": gettext_lazy("Waiting before the next try"),
    "verifying": gettext_lazy("Comparing its SHA-256"),
    "mending": gettext_lazy("Finding what is damaged"),
    "registering": gettext_lazy("Making a model of it"),
}

LOOKS: Mapping[str, str] = {
    Status.PENDING: "queued",
    Status.DOWNLOADING: "starting",
    Status.PAUSED: "stopped",
    Status.COMPLETED: "ready",
    Status.FAILED: "failed",
    Status.CANCELLED: "stopped",
}
"""How a state is coloured, in the words of the style sheet."""

OVER = (Status.COMPLETED, Status.CANCELLED)


@dataclass(frozen=True, slots=True)
class Card:
    """One download as the page shows it."""

    key: str
    title: str
    about: str
    """Quantization, and the file or how many there are."""
    status: str
    look: str
    label: Text
    phase: Text
    percent: float | None
    """None while the size is not known."""
    amounts: str
    pace: str
    note: str
    error: str
    wants_token: bool
    hub_page: str
    """Where the model's terms are accepted; "" for other addresses."""
    reuse_path: str
    folder: str
    models: tuple[ServedModel, ...]
    """What it became."""

    @property
    def is_under_way(self) -> bool:
        return self.status in (Status.PENDING, Status.DOWNLOADING)

    @property
    def is_waiting(self) -> bool:
        return self.status == Status.PENDING

    @property
    def is_over(self) -> bool:
        return self.status in OVER

    @property
    def can_resume(self) -> bool:
        return self.status in (Status.PAUSED, Status.FAILED)

    @property
    def has_failed(self) -> bool:
        return self.status == Status.FAILED


def cards(downloads: Sequence[Download]) -> list[Card]:
    """A card for each download, in their order. Uses the database."""
    models = _models_of(downloads)
    return [_card(download, models.get(download.pk, ())) for download in downloads]


def _card(download: Download, models: tuple[ServedModel, ...]) -> Card:
    names = [file.name for file in download.files.all()]
    percent = info.progress(download)
    return Card(
        key=download.key,
        title=download.repository or download.model_id or (names[0] if names else download.key),
        about=_about(download, names),
        status=download.status,
        look=LOOKS[download.status],
        label=LABELS[download.status],
        phase=_phase(download),
        percent=None if percent < 0 else percent,
        amounts=amounts(download),
        pace=pace(download),
        note=download.note,
        error=download.error,
        wants_token=download.error_kind in (Kind.SIGN_IN, Kind.FORBIDDEN),
        hub_page=_hub_page(download),
        reuse_path=download.reuse_path if download.status not in OVER else "",
        folder=download.folder,
        models=models,
    )


def amounts(download: Download) -> str:
    """How much is here, such as "1.2 of 4.7 GiB"."""
    if download.status == Status.COMPLETED:
        return binary_size(download.total_bytes or download.done_bytes)
    if not download.total_bytes:
        return binary_size(download.done_bytes) if download.done_bytes else ""
    return _("%(done)s of %(total)s") % {
        "done": binary_size(download.done_bytes),
        "total": binary_size(download.total_bytes),
    }


def pace(download: Download) -> str:
    """How fast, how long still, over how many connections; "" while nothing comes."""
    if download.status != Status.DOWNLOADING or not download.speed:
        return ""
    parts = [info.rate_in_words(download.speed)]
    if left := info.seconds_left(download):
        parts.append(_("%(time)s left") % {"time": info.time_in_words(left)})
    if count := download.connections:
        text = ngettext("%(count)s connection", "%(count)s connections", count)
        parts.append(text % {"count": count})
    return " · ".join(parts)


def _phase(download: Download) -> Text:
    if download.status != Status.DOWNLOADING:
        return ""
    return PHASES.get(download.phase, "")


def _about(download: Download, names: Sequence[str]) -> str:
    parts = [download.quantization] if download.quantization else []
    if len(names) == 1:
        parts.append(names[0])
    elif names:
        parts.append(ngettext("%(n)s file", "%(n)s files", len(names)) % {"n": len(names)})
    return " · ".join(parts)


def _hub_page(download: Download) -> str:
    base = settings.CLARACORE_HF_ENDPOINT
    files = list(download.files.all())
    if not files or not files[0].url.startswith(f"{base}/"):
        return ""
    return files[0].url.partition("/resolve/")[0]


def _models_of(downloads: Iterable[Download]) -> dict[int, tuple[ServedModel, ...]]:
    """The models that serve a file of a completed download."""
    places = {
        str(Path(download.folder) / file.name): download.pk
        for download in downloads
        if download.status == Status.COMPLETED
        for file in download.files.all()
    }
    found: dict[int, tuple[ServedModel, ...]] = {}
    rows = ServedModel.objects.filter(file__path__in=places).select_related("file").order_by("pk")
    for row in rows.defer("metadata", "kept_keys", "file__facts"):
        if row.file is not None:
            pk = places[row.file.path]
            found[pk] = (*found.get(pk, ()), row)
    return found
