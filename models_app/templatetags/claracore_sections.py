"""The admin's tables under their headings, which every page of it shows."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext

register = template.Library()

Table = tuple[str, str | None, str | None]
"""Name, address, and address of its form for a new row."""
Section = tuple[str, str, tuple[Table, ...]]
"""Label, name, tables."""


@register.simple_tag
def sections(apps: Iterable[dict[str, Any]], path: str) -> SafeString:
    """`{% sections app_list request.path %}`: the tables, with the one that is open marked."""
    shown = tuple(
        (
            app["app_label"],
            str(app["name"]),
            tuple(
                (str(table["name"]), table.get("admin_url"), table.get("add_url"))
                for table in app["models"]
            ),
        )
        for app in apps
    )
    addresses = {address for _, _, tables in shown for _, address, _ in tables}
    return _drawn(shown, path if path in addresses else "", gettext("Add to %(name)s"))


@lru_cache(maxsize=256)
def _drawn(shown: tuple[Section, ...], current: str, to_add: str) -> SafeString:
    """Kept: a page shows some seventy links there, the same for all who may do the same."""
    return format_html_join(
        "\n",
        '<section class="nav-section" aria-labelledby="nav-{0}">\n'
        '<h2 id="nav-{0}">{1}</h2>\n<ul>\n{2}\n</ul>\n</section>',
        (
            (
                label,
                name,
                format_html_join(
                    "\n",
                    "<li>\n{} {}\n</li>",
                    ((_link(table, current), _add_link(table, to_add)) for table in tables),
                ),
            )
            for label, name, tables in shown
        ),
    )


def _link(table: Table, current: str) -> SafeString:
    name, address, _ = table
    if not address:
        return format_html("<span>{}</span>", capfirst(name))
    mark = SafeString(' aria-current="page"' if address == current else "")
    return format_html('<a href="{}"{}>{}</a>', address, mark, capfirst(name))


def _add_link(table: Table, to_add: str) -> SafeString:
    name, _, address = table
    if not address:
        return SafeString("")
    label = to_add % {"name": name}
    return format_html('<a href="{}" class="addlink" aria-label="{}"></a>', address, label)
