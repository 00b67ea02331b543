"""Widgets for choices among hundreds of models, which Django's would render for 40 milliseconds.

Django renders a template for every choice; these write their few letters themselves. The HTML is
the same as Django's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.forms.utils import flatatt
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

_SELECTED = mark_safe(" selected")
_CHECKED = mark_safe(" checked")
_NONE = mark_safe("")


class LongSelect(forms.Select):
    """A select of plain choices, without groups."""

    def render(
        self, name: str, value: Any, attrs: Mapping[str, Any] | None = None, renderer: Any = None
    ) -> SafeString:
        chosen = set(self.format_value(value))
        own = self.build_attrs(self.attrs, {**(attrs or {}), "name": name})
        options = format_html_join(
            "",
            '<option value="{}"{}>{}</option>',
            (
                (key, _SELECTED if str(key) in chosen else _NONE, label)
                for key, label in self.choices
            ),
        )
        return format_html("<select{}>{}</select>", flatatt(own), options)


class LongCheckboxes(forms.CheckboxSelectMultiple):
    """A check box for each of plain choices, without groups."""

    def render(
        self, name: str, value: Any, attrs: Mapping[str, Any] | None = None, renderer: Any = None
    ) -> SafeString:
        chosen = set(self.format_value(value))
        own = self.build_attrs(self.attrs, dict(attrs or {}))
        whole = own.pop("id", "")
        own.pop("required", None)  # All of them would have to be checked.
        shared = flatatt(own)
        boxes = format_html_join(
            "",
            '<div><label for="{0}_{1}"><input type="checkbox" name="{2}" value="{3}"{4}{5}'
            ' id="{0}_{1}"> {6}</label></div>',
            (
                (whole, at, name, key, shared, _CHECKED if str(key) in chosen else _NONE, label)
                for at, (key, label) in enumerate(self.choices)
            ),
        )
        return format_html('<div id="{}">{}</div>', whole, boxes)
