"""The server's settings as the page asks for them, and what of them somebody changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django import forms
from django.forms.boundfield import BoundField
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from models_app import secrecy
from models_app.models import ServerSettings
from models_app.settings_form import GROUPS, SettingsForm
from ui_app.plain_fields import ListField, NumbersField, PairsField


@dataclass(frozen=True, slots=True)
class Change:
    """A setting somebody changed: what it was and what it shall be."""

    field: str
    label: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Group:
    """Settings under one heading."""

    key: str
    name: str | Promise
    fields: list[BoundField]


class SettingsPageForm(SettingsForm):
    """Every field carries what it was when the page was made, so that only what a person changed
    is written, and somebody else's change of the same setting meanwhile is noticed."""

    preload = ListField(
        label=gettext_lazy("Load at start"), help_text=gettext_lazy("Ids of models, one a line.")
    )
    allowed_origins = ListField(
        label=gettext_lazy("Sites that may use the API"),
        help_text=gettext_lazy(
            "Sites whose pages may use the API, such as https://chat.example, one a line."
        ),
    )
    macros = PairsField(
        label=gettext_lazy("Macros"),
        help_text=gettext_lazy(
            "Texts that commands may use as ${name}. Write name: text, one a line."
        ),
    )
    start_pauses = NumbersField(
        label=gettext_lazy("Pauses after failures"),
        help_text=gettext_lazy(
            "Seconds a model is left alone after its first, second, … failed start in a row."
        ),
    )

    def __init__(self, data: Any = None, *, may_change: bool = True, **options: Any) -> None:
        super().__init__(data, instance=ServerSettings.current(), **options)
        if not may_change:
            self.initial = secrecy.hidden(self.initial)
        backends = self.fields["backend"]
        assert isinstance(backends, forms.ChoiceField)
        backends.choices = [("", _("detected")), *ServerSettings.Backend.choices]
        for name, field in self.fields.items():
            field.show_hidden_initial = may_change
            field.disabled = not may_change
            if field.help_text:
                field.widget.attrs["aria-describedby"] = f"id_{name}_help"

    def groups(self) -> Iterator[Group]:
        """The fields under their headings."""
        for number, (heading, names) in enumerate(GROUPS, start=1):
            yield Group(f"settings-{number}", heading, [self[name] for name in names])

    def changes(self) -> list[Change]:
        """What would become different. Somebody else may have wished the very same."""
        return [
            Change(name, str(self[name].label), self._said(name, old), self._said(name, new))
            for name in self.changed_data
            for old, new in [(self.initial.get(name), self.cleaned_data.get(name))]
            if old != new
        ]

    def clean(self) -> dict[str, Any]:
        values = super().clean()
        for name in list(self.changed_data):
            field = self[name]
            shown = self.data.get(field.html_initial_name)
            now = self.initial.get(name)
            if shown is None or now == values.get(name):
                continue
            if self.fields[name].has_changed(now, shown):
                text = _(
                    "Somebody set this to %(value)s meanwhile. Save again to put yours in place."
                )
                self.add_error(name, text % {"value": self._said(name, now)})
                self._show_as_known(field, now)
        return values

    def _show_as_known(self, field: BoundField, now: Any) -> None:
        """Whoever saves again has seen what it is now."""
        known = field.field.prepare_value(now)
        sent = {name: self.data[name] for name in self.data}
        self.data = {**sent, field.html_initial_name: "" if known is None else known}

    def _said(self, name: str, value: Any) -> str:
        if isinstance(value, bool):
            return _("on") if value else _("off")
        if value in (None, "", [], {}):
            return _("empty")
        field = self.fields[name]
        named = dict(field.widget.choices) if isinstance(field, forms.ChoiceField) else {}
        return str(named.get(str(value)) or field.prepare_value(value))

    def write(self) -> None:
        """Save what was changed, and nothing else."""
        self.instance.save(update_fields=self.changed_data)
