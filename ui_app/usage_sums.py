"""Usage as the pages show it: sums of a time, for the models, keys and people behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import Q, Sum
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from proxy_app import freshness
from proxy_app.models import UsageDay
from ui_app import whose

PERIODS: Final[Mapping[str, tuple[str | Promise, int]]] = {
    "7d": (gettext_lazy("7 days"), 7),
    "30d": (gettext_lazy("30 days"), 30),
    "90d": (gettext_lazy("90 days"), 90),
}
USUAL: Final = "30d"

MOST_ROWS: Final = 200

_SUMS: Final = (
    "requests",
    "errors",
    "stopped",
    "tokens_in",
    "tokens_out",
    "gpu_seconds",
    "engine_seconds",
)


@dataclass(frozen=True, slots=True)
class Sums:
    """What requests came to."""

    requests: int = 0
    errors: int = 0
    stopped: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    gpu_seconds: float = 0.0
    engine_seconds: float = 0.0

    @property
    def tokens(self) -> int:
        return self.tokens_in + self.tokens_out


@dataclass(frozen=True, slots=True)
class Row:
    """The sums of one model, key or person."""

    number: int
    name: str
    sums: Sums


@dataclass(frozen=True, slots=True)
class Usage:
    """The sums of a time, for whoever may see them."""

    chosen: Q

    @classmethod
    def of(cls, chosen: Q, period: str) -> Usage:
        """What `chosen` narrows it to, in the days of `period`. Days are those of UTC."""
        freshness.catch_up()
        return cls(chosen & Q(start__gte=begins(period)))

    def total(self) -> Sums:
        """All of it."""
        told = UsageDay.objects.filter(self.chosen).aggregate(**_added())
        return _sums(told)

    def by_model(self) -> list[Row]:
        """The models, the busiest first."""
        return [Row(0, row["model"], _sums(row)) for row in self._by("model")]

    def by_key(self) -> list[Row]:
        """The keys, the busiest first; what came without one is a row, too."""
        rows = self._by("key_id")
        names = whose.Names([row["key_id"] for row in rows], ())
        return [
            _row(row, "key_id", names.of(row["key_id"], 0) or _("without a key")) for row in rows
        ]

    def by_person(self) -> list[Row]:
        """The people, the busiest first; what came of nobody is a row, too."""
        rows = self._by("person_id")
        names = whose.Names((), [row["person_id"] for row in rows])
        return [
            _row(row, "person_id", names.of(0, row["person_id"]) or _("nobody in particular"))
            for row in rows
        ]

    def _by(self, column: str) -> list[dict[str, Any]]:
        found = UsageDay.objects.filter(self.chosen).order_by().values(column)
        return list(found.annotate(**_added()).order_by("-sum_requests")[:MOST_ROWS])


def begins(period: str) -> datetime:
    """The first day of a time that ends today."""
    _label, days = PERIODS.get(period, PERIODS[USUAL])
    today = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=days - 1)


def _added() -> dict[str, Sum]:
    return {f"sum_{name}": Sum(name) for name in _SUMS}


def _sums(row: Mapping[str, Any]) -> Sums:
    return Sums(**{name: row[f"sum_{name}"] or 0 for name in _SUMS})


def _row(row: Mapping[str, Any], column: str, name: str) -> Row:
    return Row(row[column], name, _sums(row))
