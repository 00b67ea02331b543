"""An API key as the pages ask for it: what it may be used for in plain words, and its limits."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from django import forms
from django.contrib.auth.models import User
from django.forms.boundfield import BoundField
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from models_app import api_keys, person_limits
from models_app.key_form import LIMITS, ApiKeyForm, PersonLimitsForm
from models_app.models import ApiKey, PersonLimits
from models_app.models.limited import AMOUNTS
from models_app.rights import Rights, Scope
from models_app.within_reach import within_reach

SCOPES: Final = {
    Scope.INFERENCE: gettext_lazy("Use models"),
    Scope.MANAGE: gettext_lazy("Look after models, folders and downloads"),
    Scope.ADMIN: gettext_lazy("Everything else: settings, people, keys of others"),
}

_TIME: Final = "%Y-%m-%dT%H:%M"


_AMOUNTS: Final = {
    "requests_per_minute": gettext_lazy("Requests a minute"),
    "tokens_per_minute": gettext_lazy("Tokens a minute"),
    "tokens_per_day": gettext_lazy("Tokens a day"),
    "tokens_per_month": gettext_lazy("Tokens a month"),
    "parallel_requests": gettext_lazy("Requests at the same time"),
}


class LimitsForm(PersonLimitsForm):
    """What a person is limited to with all their keys."""

    class Meta(PersonLimitsForm.Meta):
        labels = _AMOUNTS
        help_texts = {"parallel_requests": ""}  # noqa: RUF012

    def __init__(self, user: User, data: Any = None) -> None:
        super().__init__(data, instance=person_limits.of(user))

    @property
    def amounts(self) -> list[BoundField]:
        """How much they may use."""
        return [self[name] for name in AMOUNTS]

    @property
    def reach(self) -> list[BoundField]:
        """Which models they may use; groups only where there are any."""
        names = ("allowed_models", "allowed_groups")
        return [self[name] for name in names if self[name].field.choices]  # type: ignore[attr-defined]

    def keep(self) -> None:
        """Save them."""
        person_limits.keep(self.save(commit=False))


def told_limits(person_id: int) -> list[tuple[str, str]]:
    """What a person is limited to, as their own page says it: names and values."""
    row = PersonLimits.objects.filter(person_id=person_id).first()
    if row is None:
        return []
    reach = [*row.allowed_models, *row.allowed_groups]
    told = [(str(_("Models")), ", ".join(reach))] if reach else []
    amounts = ((label, getattr(row, name)) for name, label in _AMOUNTS.items())
    return told + [
        (str(label), number_format(amount, force_grouping=True))
        for label, amount in amounts
        if amount
    ]


def _told(rights: Rights, field: str, choices: Iterable[Any]) -> list[Any]:
    """The models, or groups, that somebody may give to a key: no names of others."""
    if not rights.is_limited:
        return list(choices)
    if field == "allowed_models":
        may_use = within_reach(rights)
        return [choice for choice in choices if may_use(choice[0])]
    return [
        choice for choice in choices if all(choice[0] in bound.groups for bound in rights.bounds)
    ]


class KeyForm(ApiKeyForm):
    """A key to be made, or one that is there.

    Of a key that is there, others than administrators change the name alone: who could raise the
    limits of a key would not be limited by it.
    """

    class Meta(ApiKeyForm.Meta):
        labels = {  # noqa: RUF012
            "person": gettext_lazy("Whose"),
            "expires_at": gettext_lazy("Expires"),
            **_AMOUNTS,
        }
        widgets = {  # noqa: RUF012
            "expires_at": forms.DateTimeInput(attrs={"type": "datetime-local"}, format=_TIME)
        }

    def __init__(self, data: Any = None, *, rights: Rights, instance: ApiKey | None = None) -> None:
        is_new = instance is None
        row = instance or ApiKey(person_id=rights.person_id or None)
        super().__init__(data, instance=row)
        if not rights.may(Scope.ADMIN):
            for name in list(self.fields):
                given = name in ("person", *api_keys.OF_ADMINISTRATORS)
                if given or (name != "name" and not is_new):
                    del self.fields[name]
        if "person" in self.fields:
            self.fields["person"].empty_label = _("nobody's: the server's own")  # type: ignore[attr-defined]
        self._explain(rights)

    def _explain(self, rights: Rights) -> None:
        for name in ("allowed_models", "allowed_groups"):
            if name in self.fields:
                choices = _told(rights, name, self.fields[name].choices)  # type: ignore[attr-defined]
                self.fields[name].choices = choices  # type: ignore[attr-defined]
        if "scopes" in self.fields:
            offered = [(str(scope), text) for scope, text in SCOPES.items() if rights.may(scope)]
            self.fields["scopes"].choices = offered  # type: ignore[attr-defined]
            self.fields["scopes"].label = _("What it may be used for")
            self.fields["scopes"].help_text = ""
        if "expires_at" in self.fields:
            self.fields["expires_at"].help_text = _("Empty: it does not.")

    @property
    def first_fields(self) -> list[BoundField]:
        """What everybody thinks of."""
        names = ("name", "person", "expires_at", "scopes")
        return [self[name] for name in names if name in self.fields]

    @property
    def models(self) -> list[BoundField]:
        """Which models it may use; groups only where there are any."""
        names = [name for name in ("allowed_models", "allowed_groups") if name in self.fields]
        return [self[name] for name in names if self[name].field.choices]  # type: ignore[attr-defined]

    @property
    def limits(self) -> list[BoundField]:
        """How much it may be used."""
        return [self[name] for name in LIMITS if name in self.fields]

    @property
    def has_hidden_errors(self) -> bool:
        """Whether something is wrong with what is folded away."""
        return any(field.errors for field in (*self.models, *self.limits))

    def clean_expires_at(self) -> datetime | None:
        when: datetime | None = self.cleaned_data["expires_at"]
        if when is not None and "expires_at" in self.changed_data and when <= timezone.now():
            raise forms.ValidationError(
                _("That is over. Choose a time to come, or revoke the key.")
            )
        return when

    def make(self) -> str:
        """Save the new key; the key itself, which nobody can read again."""
        return api_keys.make(self.save(commit=False))

    def change(self) -> None:
        """Write what was changed of a key that is there."""
        values = {name: self.cleaned_data[name] for name in self.changed_data}
        api_keys.change(self.instance, **values)
