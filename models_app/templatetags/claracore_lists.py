"""What lists need so that a phone can show each row as a card."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst

register = template.Library()


@register.filter
def labelled(
    cells: Iterable[SafeString], headers: Iterable[dict[str, Any]]
) -> Iterator[SafeString]:
    """The cells of a row, each with its column's name in `data-label`."""
    for cell, header in zip(cells, headers, strict=True):
        if cell.startswith("<td") and "action-checkbox" not in cell[:40]:
            label = format_html('<td data-label="{}"', capfirst(header["text"]))
            cell = mark_safe(label + cell.removeprefix("<td"))
        yield cell
