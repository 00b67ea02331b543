"""An API key, and a person's limits, as forms for the admin and the pages."""

from __future__ import annotations

from typing import Any, Final, TypeVar

from django import forms
from django.contrib.auth.models import User

from models_app import api_keys
from models_app.long_choices import LongCheckboxes
from models_app.models import ApiKey, ModelGroup, PersonLimits, ServedModel, VirtualModel
from models_app.models.limited import AMOUNTS, Limited
from models_app.rights import LOCAL_NAME, Scope
from models_app.typed_forms import ModelForm

T = TypeVar("T", bound=Limited)

LIMITS: Final = (*AMOUNTS, "priority", "queue_share")
REACH: Final = ("scopes", "allowed_models", "allowed_groups")


class _ReachForm(ModelForm[T]):
    """The models that may be used, to tick instead of JSON."""

    allowed_models = forms.MultipleChoiceField(
        required=False,
        widget=LongCheckboxes,
        help_text="The only models that may be used. None: all.",
    )
    allowed_groups = forms.MultipleChoiceField(
        required=False,
        widget=LongCheckboxes,
        help_text="Groups whose models may be used as well.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = [
            *ServedModel.objects.order_by("model_id").values_list("model_id", flat=True),
            *VirtualModel.objects.order_by("name").values_list("name", flat=True),
        ]
        self._offer("allowed_models", names)
        groups = ModelGroup.objects.order_by("name").values_list("name", flat=True)
        self._offer("allowed_groups", list(groups))

    def _offer(self, field: str, names: list[str]) -> None:
        if field in self.fields:
            # What is gone meanwhile stays until somebody takes it out.
            kept = [name for name in getattr(self.instance, field) if name not in names]
            self.fields[field].choices = [(name, name) for name in [*names, *kept]]  # type: ignore[attr-defined]


class PersonLimitsForm(_ReachForm[PersonLimits]):
    """What a person is limited to with all their keys."""

    class Meta:
        model = PersonLimits
        fields = ("allowed_models", "allowed_groups", *AMOUNTS)


class ApiKeyForm(_ReachForm[ApiKey]):
    """Scopes and models to tick instead of JSON."""

    scopes = forms.MultipleChoiceField(
        choices=[(str(scope), str(scope)) for scope in Scope],
        widget=forms.CheckboxSelectMultiple,
        initial=[str(Scope.INFERENCE)],
        help_text="inference: use models. manage: models, folders, downloads. admin: everything "
        "else. Never more than its person has.",
    )

    asking: User | None = None
    """Whose the key will be, if that is not chosen."""

    class Meta:
        model = ApiKey
        fields = ("name", "person", "expires_at", *REACH, *LIMITS)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "person" in self.fields:
            people = User.objects.exclude(username=LOCAL_NAME).order_by("username")
            self.fields["person"].queryset = people  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        row = ApiKey(
            person=data.get("person", self.instance.person or self.asking),
            scopes=data.get("scopes", self.instance.scopes),
        )
        try:
            api_keys.check_grant(row)
        except api_keys.KeyRejected as error:
            raise forms.ValidationError(str(error)) from None
        return data
