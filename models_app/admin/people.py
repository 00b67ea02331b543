from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest

from models_app import people
from models_app.admin.base import RegistryAdmin
from models_app.admin.typed import StackedInline
from models_app.key_form import PersonLimitsForm
from models_app.models import PersonLimits
from models_app.rights import LOCAL_NAME, Role
from models_app.typed_forms import ModelForm


class PersonForm(ModelForm[User]):
    """A name, a role, and a password to set."""

    role = forms.ChoiceField(
        choices=[(str(role), str(role).capitalize()) for role in Role],
        help_text="Administrators do everything; curators look after models and downloads; "
        "users use models and see their own keys and usage.",
    )
    new_password = forms.CharField(
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    class Meta:
        model = User
        fields = ("username", "first_name", "last_name", "email", "is_active")
        labels = {"username": "Name", "is_active": "Gets in"}  # noqa: RUF012
        help_texts = {"username": "", "is_active": "Off: neither the person nor their keys."}  # noqa: RUF012

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        is_new = self.instance._state.adding
        self.initial["role"] = str(Role.USER if is_new else people.role_of(self.instance))
        self.fields["new_password"].required = is_new
        if not is_new:
            self.fields["new_password"].help_text = "Empty: it stays."

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        try:
            if self.instance._state.adding:
                people.check_name(data.get("username", ""))
            elif data.get("role") != Role.ADMINISTRATOR or not data.get("is_active"):
                people.keep_one_administrator(User.objects.get(pk=self.instance.pk))
        except people.PersonRejected as error:
            raise forms.ValidationError(str(error)) from None
        return data

    def clean_new_password(self) -> str:
        password: str = self.cleaned_data["new_password"]
        if password:
            try:
                people.check_password(self.instance, password)
            except people.PersonRejected as error:
                raise forms.ValidationError(str(error)) from None
        return password


class LimitsInline(StackedInline[PersonLimits, User]):
    """What the person is limited to, signed in and with all their keys together."""

    model = PersonLimits
    form = PersonLimitsForm
    can_delete = False
    # Django names the one row there is; "of a person" would say nothing of the keys.
    verbose_name = "Limits, with all their keys together (empty: not limited)"


class PersonAdmin(RegistryAdmin[User]):
    form = PersonForm
    inlines = (LimitsInline,)
    list_display = ("username", "role", "is_active", "keys", "last_login")
    list_filter = ("is_active", "is_superuser", "is_staff")
    search_fields = ("username", "first_name", "last_name", "email")
    fields = ("username", "role", "is_active", "new_password", "first_name", "last_name", "email")

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        rows = super().get_queryset(request).exclude(username=LOCAL_NAME)
        valid = Q(api_keys__revoked_at=None, api_keys__isnull=False)
        return rows.annotate(key_count=Count("api_keys", filter=valid))

    @admin.display(description="role")
    def role(self, row: User) -> str:
        return str(people.role_of(row)).capitalize()

    @admin.display(description="keys", ordering="key_count")
    def keys(self, row: Any) -> int:
        return int(row.key_count)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        chosen = form.cleaned_data
        people.put_role(obj, Role(chosen["role"]))
        if chosen["new_password"]:
            obj.set_password(chosen["new_password"])
        obj.save()

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        try:
            people.remove(obj)
        except people.PersonRejected as error:
            self.message_user(request, str(error), messages.ERROR)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        for user in queryset:
            self.delete_model(request, user)


admin.site.unregister(User)
admin.site.register(User, PersonAdmin)
