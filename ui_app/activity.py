"""Requests as the Activity page shows them: which ones, whose, and where their time went."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django import forms
from django.contrib.auth.models import User
from django.db.models import Q
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from models_app.api_keys import visible_to
from models_app.long_choices import LongSelect
from models_app.models import ApiKey, ServedModel
from models_app.within_reach import looked_after
from proxy_app.keys import Caller
from proxy_app.models import UsageRow
from proxy_app.records import CLIENT_LEFT
from ui_app import whose

PAGE_ROWS: Final = 50

PERIODS: Final = {
    "1h": (_("The last hour"), timedelta(hours=1)),
    "24h": (_("The last 24 hours"), timedelta(hours=24)),
    "7d": (_("The last 7 days"), timedelta(days=7)),
    "30d": (_("The last 30 days"), timedelta(days=30)),
    "all": (_("All there is"), None),
}

STATUSES: Final = {
    "": _("Any ending"),
    "ok": _("Answered"),
    "failed": _("Failed"),
    "left": _("Stopped"),
    "4xx": _("Refused (4xx)"),
    "5xx": _("Errors (5xx)"),
}

PHASES: Final = {
    "queue": _("queue"),
    "load": _("load"),
    "prompt": _("prompt"),
    "generation": _("generation"),
    "rest": _("the rest"),
}
"""What a request's time went into, in this order."""

NOBODY_SAID: Final = "none"


class Filters(forms.Form):
    """What the list is narrowed to. Every field may be empty."""

    model = forms.ChoiceField(label=_("Model"), required=False, widget=LongSelect)
    person = forms.ChoiceField(label=_("Person"), required=False, widget=LongSelect)
    key = forms.ChoiceField(label=_("Key"), required=False, widget=LongSelect)
    status = forms.ChoiceField(label=_("Ending"), required=False, choices=list(STATUSES.items()))
    period = forms.ChoiceField(
        label=_("Time"),
        required=False,
        choices=[(name, label) for name, (label, _length) in PERIODS.items()],
    )
    since = forms.DateTimeField(label=_("From"), required=False)
    until = forms.DateTimeField(label=_("Until"), required=False)

    def __init__(self, data: Mapping[str, Any], caller: Caller) -> None:
        super().__init__({"period": "24h", **{name: data[name] for name in data}})
        self._caller = caller
        sees_all = whose.sees_all(caller)
        may_use = looked_after(caller.rights)
        models = filter(may_use, ServedModel.objects.values_list("model_id", flat=True))
        self._choose("model", _("All models"), ((model, model) for model in models))
        if sees_all:
            nobody: list[tuple[str, str | Promise]] = [(NOBODY_SAID, _("Without one"))]
            people = User.objects.order_by("username").values_list("pk", "username")
            self._choose("person", _("Everybody"), [*nobody, *_named(people)])
            keys = ApiKey.objects.order_by("name").values_list("pk", "name")
            self._choose("key", _("All keys"), [*nobody, *_named(keys)])
        else:
            del self.fields["person"]
            keys = visible_to(caller.rights).order_by("name").values_list("pk", "name")
            self._choose("key", _("All your keys"), _named(keys))
        for name in ("since", "until"):
            self.fields[name].widget = forms.DateTimeInput(attrs={"type": "datetime-local"})

    def _choose(
        self, name: str, everything: Promise, choices: Iterable[tuple[str, str | Promise]]
    ) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        # A model that was removed still has requests.
        asked = self.data.get(name, "")
        found: list[tuple[str, str | Promise]] = [("", everything), *choices]
        if name == "model" and asked and asked not in dict(found):
            found.append((asked, asked))
        field.choices = found

    @property
    def is_narrow(self) -> bool:
        """Whether anything but the time is chosen."""
        return any(self.chosen(name) for name in ("model", "person", "key", "status"))

    def chosen(self, name: str) -> Any:
        """What a field says; None for nothing, and for what makes no sense."""
        return self.cleaned_data.get(name) or None if self.is_bound and self._cleaned() else None

    def _cleaned(self) -> bool:
        self.is_valid()
        return hasattr(self, "cleaned_data")

    def rows(self) -> Q:
        """The requests it leaves."""
        chosen = self.sums("at")
        status = self.chosen("status")
        return chosen & _by_status(status) if status else chosen

    def sums(self, time: str) -> Q:
        """The same for sums, which do not tell how requests ended; `time` is their column."""
        found = whose.requests(self._caller)
        if model := self.chosen("model"):
            found &= Q(model=model)
        for name, column in (("person", "person_id"), ("key", "key_id")):
            if value := self.chosen(name):
                found &= Q(**{column: 0 if value == NOBODY_SAID else int(value)})
        if (since := self.begins()) is not None:
            found &= Q(**{f"{time}__gte": since})
        if until := self.chosen("until"):
            found &= Q(**{f"{time}__lt": until})
        return found

    def begins(self) -> datetime | None:
        """When the time begins; None for as long ago as anything is known."""
        if given := self.chosen("since"):
            assert isinstance(given, datetime)
            return given
        _label, length = PERIODS[self.chosen("period") or "24h"]
        return None if length is None else timezone.now() - length


def _named(rows: Iterable[tuple[int, str]]) -> list[tuple[str, str | Promise]]:
    return [(str(number), name) for number, name in rows]


def _by_status(status: str) -> Q:
    if status == "ok":
        return Q(status__lt=400, error="")
    if status == "failed":
        return (Q(status__gte=400) | ~Q(error="")) & ~Q(status=CLIENT_LEFT)
    if status == "left":
        return Q(status=CLIENT_LEFT)
    first = int(status[0]) * 100
    return Q(status__gte=first, status__lt=first + 100)


# ---- One request ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a request's time, as it is drawn: in thousandths of the whole."""

    phase: str
    label: str | Promise
    ms: float
    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Told:
    """One ended request as it is shown."""

    row: UsageRow
    who: str
    segments: Sequence[Segment]

    @property
    def tone(self) -> str:
        """How it ended: "good", "bad", or "" when the client had enough."""
        if self.row.status == CLIENT_LEFT:
            return ""
        return "bad" if self.row.status >= 400 or self.row.error else "good"

    @property
    def seconds(self) -> float:
        return self.row.total_ms / 1000

    @property
    def first_seconds(self) -> float | None:
        """From the request to the answer's first piece."""
        return None if self.row.first_ms is None else self.row.first_ms / 1000


def tell(rows: Sequence[UsageRow]) -> list[Told]:
    """Rows with names and timings."""
    names = whose.Names({row.key_id for row in rows}, {row.person_id for row in rows})
    return [Told(row, names.of(row.key_id, row.person_id), segments_of(row)) for row in rows]


def segments_of(row: UsageRow) -> list[Segment]:
    """Where a request's time went, as parts of a bar that is as long as the whole."""
    times = row.timeline()
    parts = {
        "queue": times["queueMs"] or 0.0,
        "load": times["loadMs"] or 0.0,
        "prompt": times["promptMs"] or 0.0,
        "generation": times["generationMs"] or 0.0,
    }
    known = sum(parts.values())
    whole = max(row.total_ms, known)
    parts["rest"] = whole - known
    found, x = [], 0.0
    for phase, ms in parts.items():
        width = 1000 * ms / whole if whole else 0.0
        if ms > 0:
            found.append(Segment(phase, PHASES[phase], ms, round(x, 1), round(width, 1)))
        x += width
    return found


# ---- Pages of them -------------------------------------------------------------------------------


def page(chosen: Q, before: str) -> tuple[list[UsageRow], str]:
    """The newest requests of `chosen` that came before a mark, and the mark for what follows."""
    rows = list(UsageRow.objects.filter(chosen & _older_than(before))[: PAGE_ROWS + 1])
    more = len(rows) > PAGE_ROWS
    rows = rows[:PAGE_ROWS]
    return rows, _mark(rows[-1]) if more else ""


def _mark(row: UsageRow) -> str:
    return f"{int(row.at.timestamp() * 1_000_000)}.{row.pk}"


def _older_than(mark: str) -> Q:
    """Everything for a mark that makes no sense, such as one that somebody typed."""
    at, _dot, key = mark.partition(".")
    if not (at.isascii() and at.isdigit() and key.isascii() and key.isdigit() and len(mark) < 36):
        return Q()
    seconds, micro = divmod(int(at), 1_000_000)
    try:
        when = datetime.fromtimestamp(seconds, UTC).replace(microsecond=micro)
    except (ValueError, OverflowError, OSError):
        return Q()
    return Q(at__lt=when) | Q(at=when, pk__lt=int(key))
