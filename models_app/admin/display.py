"""How facts look in the admin: sizes, counts, times, text as it is, and links between rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.db.models import Model
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timesince import timesince

from models_app import units

NOTHING = "-"

_AMOUNTS = frozenset({"total", "free", "available"})
"""Names under which the machine's facts hold bytes."""

_KINDS_OF_LINES = {"+": "added", "-": "removed", "@": "place"}


def size(count: int | None) -> str:
    """Bytes such as "253.0 MiB"."""
    return NOTHING if count is None else units.binary_size(count)


def short(count: int | None) -> str:
    """A count such as "3.2B"."""
    return NOTHING if count is None else units.short_count(count)


def tokens(count: int | None) -> str:
    """A number of tokens such as "131,072"."""
    return NOTHING if count is None else f"{count:,}"


def signed_percent(share: float | None) -> str:
    """A share such as "-13.0 %"."""
    return NOTHING if share is None else f"{share * 100:+.1f} %"


def duration(time: timedelta | None) -> str:
    """A length of time such as "1:02:03" or "0.4 s"."""
    if time is None:
        return NOTHING
    seconds = time.total_seconds()
    return f"{seconds:.1f} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))


def ago(when: datetime) -> str:
    """A time as its distance from now, such as "3 minutes ago"."""
    if timezone.now() - when < timedelta(minutes=1):
        return "just now"
    return f"{timesince(when, depth=1)} ago"


def text_block(text: str) -> SafeString | str:
    """Text of several lines as it is."""
    return format_html('<pre class="claracore-block">{}</pre>', text) if text else NOTHING


def difference(text: str) -> SafeString | str:
    """A difference as `diff -u` shows it, with what came and went in colours."""
    if not text:
        return "None."
    lines = [
        (_KINDS_OF_LINES.get(line[:1], ""), line)
        for line in text.splitlines()
        if not line.startswith(("--- ", "+++ "))
    ]
    spans = format_html_join("", '<span class="{}">{}</span>', lines)
    return format_html('<div class="difference">{}</div>', spans)


def link(row: Model | None, text: str | None = None) -> SafeString | str:
    """A link to the row's page."""
    if row is None:
        return NOTHING
    address = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])
    return format_html('<a href="{}">{}</a>', address, text or str(row))


def links(rows: Iterable[Model]) -> SafeString | str:
    """Links to several rows' pages, one a line."""
    return format_html_join(SafeString("<br>"), "{}", ((link(row),) for row in rows)) or NOTHING


def list_link(model: type[Model], text: str, **filters: Any) -> SafeString:
    """A link to the list of a model's rows, filtered."""
    address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    return format_html('<a href="{}?{}">{}</a>', address, urlencode(filters), text)


def table(values: Mapping[str, Any]) -> SafeString | str:
    """Names and values, one pair a row; what is empty is left out."""
    rows = [
        (name.replace("_", " ") if name.isidentifier() else name, shown(value, name))
        for name, value in values.items()
        if value not in (None, "", [], {}, ())
    ]
    if not rows:
        return NOTHING
    body = format_html_join("", "<tr><th>{}</th><td>{}</td></tr>", rows)
    return format_html('<table class="claracore-facts">{}</table>', body)


def shown(value: Any, name: str = "") -> SafeString | str:
    """Any JSON value. The name decides whether a number is an amount of bytes."""
    if isinstance(value, Mapping):
        if "bytes" in name:
            value = {key: size(count) for key, count in value.items()}
        return table(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return size(value) if name in _AMOUNTS or "bytes" in name else f"{value:,}"
    if isinstance(value, list):
        return _shown_list(value)
    # Ready-made HTML stays what it is.
    return value if isinstance(value, str) else str(value)


def _shown_list(values: list[Any]) -> SafeString | str:
    """A list on one line, a list of mappings as tables, equal items counted."""
    if any(isinstance(value, Mapping) for value in values):
        return format_html_join("", "{}", ((shown(value),) for value in values))
    if len(values) > 1 and all(value == values[0] for value in values):
        return f"{shown(values[0])} ({len(values)} times)"
    return ", ".join("none" if value is None else str(shown(value)) for value in values)
