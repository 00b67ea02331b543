"""Which models the list shows: searched, filtered, sorted, a page of them.

Chosen on a few columns of all models; only the page's own rows are read whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from django.core.paginator import Page, Paginator
from django.db.models import Q
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from models_app.models import GgufFile, ServedModel
from models_app.rights import LOCAL, Rights
from models_app.within_reach import looked_after
from ui_app import model_cards, runtime
from ui_app.model_cards import KINDS, Card

PER_PAGE: Final = 48

_COLUMNS: Final = (
    "pk",
    "model_id",
    "enabled",
    "pinned",
    "cmd",
    "last_used_at",
    "file__kind",
    "file__size",
    "file__state",
    "file__context_length",
)
_NEVER: Final = datetime(1, 1, 1, tzinfo=UTC)

SORTS: Final[Mapping[str, str | Promise]] = {
    "name": _("Name"),
    "state": _("State"),
    "size": _("Size"),
    "context": _("Context"),
    "used": _("Last use"),
}
STATES: Final[Mapping[str, str | Promise]] = {
    "loaded": _("Loaded"),
    "stopped": _("Stopped"),
    "problem": _("With a problem"),
    "pinned": _("Pinned"),
    "off": _("Switched off"),
}
VIEWS: Final = ("cards", "table")

_ORDER_OF_STATES: Final = ("ready", "starting", "stopping", "stopped")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked of the list, as the address says it."""

    search: str = ""
    kind: str = ""
    state: str = ""
    sort: str = "name"
    view: str = "cards"
    page: int = 1

    @classmethod
    def read(cls, query: Mapping[str, str]) -> Wish:
        """From an address. What makes no sense there is as if it were not there."""
        page = query.get("page", "")
        return cls(
            search=query.get("q", "").strip()[:200],
            kind=_one_of(query.get("kind", ""), KINDS),
            state=_one_of(query.get("state", ""), STATES),
            sort=_one_of(query.get("sort", ""), SORTS) or "name",
            view=_one_of(query.get("view", ""), VIEWS) or "cards",
            page=int(page) if page.isdecimal() and len(page) < 6 else 1,
        )

    def address(self, **changes: Any) -> str:
        """The query that asks for this with something else about it."""
        wish = replace(self, **{"page": 1, **changes})
        default = Wish()
        names = {"search": "q", "kind": "kind", "state": "state", "sort": "sort"}
        names |= {"view": "view", "page": "page"}
        values = {
            short: getattr(wish, name)
            for name, short in names.items()
            if getattr(wish, name) != getattr(default, name)
        }
        return f"?{urlencode(values)}"

    @property
    def narrows(self) -> bool:
        """Whether some models are left out."""
        return bool(self.search or self.kind or self.state)


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of the list."""

    wish: Wish
    cards: list[Card]
    page: Page[Row]
    total: int
    """All models, whatever was asked for."""
    loaded: int
    kinds: list[tuple[str, str | Promise]]
    """The kinds there are, to choose from."""

    @property
    def earlier(self) -> str:
        """The query for the page before this one."""
        return self.wish.address(page=self.page.previous_page_number())

    @property
    def later(self) -> str:
        """The query for the page after this one."""
        return self.wish.address(page=self.page.next_page_number())


def listing(wish: Wish, now: runtime.Now, rights: Rights = LOCAL) -> Listing:
    """What `wish` asks for, of what somebody may use or looks after."""
    may_use = looked_after(rights)
    now = now.of(may_use)
    every = [row for row in ServedModel.objects.values(*_COLUMNS) if may_use(row["model_id"])]
    states = {status["id"]: status for status in now.statuses}
    found = [row for row in _found(wish, every) if _is_wanted(row, wish, states)]
    found.sort(key=lambda row: _place(row, wish.sort, states))
    page = Paginator(found, PER_PAGE).get_page(wish.page)
    keys = [row["pk"] for row in page]
    # Sorting in the database by one of some hundred columns costs more than it looks.
    rows = {row.pk: row for row in model_cards.listed().filter(pk__in=keys).order_by()}
    kinds = {row["file__kind"] for row in every}
    return Listing(
        wish=wish,
        cards=model_cards.cards([rows[key] for key in keys if key in rows], now),
        page=page,
        total=len(every),
        loaded=len(now.in_state("ready", "starting", "stopping")),
        kinds=[(kind, label) for kind, label in KINDS.items() if kind in kinds],
    )


def _one_of(value: str, allowed: Any) -> str:
    return value if value in allowed else ""


def _found(wish: Wish, every: list[Row]) -> list[Row]:
    """Those whose id, name, file or further names hold all the words that are searched for."""
    if not wish.search:
        return every
    chosen = Q()
    for word in wish.search.split():
        chosen &= (
            Q(model_id__icontains=word)
            | Q(name__icontains=word)
            | Q(file__relative_path__icontains=word)
            | Q(aliases__alias__icontains=word)
        )
    keys = set(ServedModel.objects.filter(chosen).values_list("pk", flat=True))
    return [row for row in every if row["pk"] in keys]


def _is_wanted(row: Row, wish: Wish, states: Mapping[str, runtime.Status]) -> bool:
    if wish.kind and row["file__kind"] != wish.kind:
        return False
    state = _state(row, states)
    if wish.state == "loaded":
        return state in ("ready", "starting", "stopping")
    if wish.state == "stopped":
        return state == "stopped" and row["enabled"]
    if wish.state == "problem":
        return _has_problem(row, states)
    if wish.state == "pinned":
        return bool(row["pinned"])
    return row["enabled"] is False if wish.state == "off" else True


def _state(row: Row, states: Mapping[str, runtime.Status]) -> str:
    return str(states[row["model_id"]]["state"]) if row["model_id"] in states else "stopped"


def _has_problem(row: Row, states: Mapping[str, runtime.Status]) -> bool:
    if states.get(row["model_id"], {}).get("problem"):
        return True
    return not row["cmd"] and row["file__state"] != GgufFile.State.OK


def _place(row: Row, sort: str, states: Mapping[str, runtime.Status]) -> tuple[Any, ...]:
    name = row["model_id"].lower()
    if sort == "state":
        return _ORDER_OF_STATES.index(_state(row, states)), name
    if sort == "size":
        return -(row["file__size"] or 0), name
    if sort == "context":
        return -(row["file__context_length"] or 0), name
    if sort == "used":
        return -(row["last_used_at"] or _NEVER).timestamp(), name
    return (name,)
