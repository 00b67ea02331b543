"""People: accounts made, changed and closed by administrators."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.contrib.auth.models import User
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.decorators import method_decorator
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from models_app import live, people
from models_app.access import needs
from models_app.models import ApiKey
from models_app.rights import LOCAL_NAME, Role, Scope
from ui_app import usage_sums
from ui_app.key_forms import LimitsForm
from ui_app.pages.keys import answer, shown
from ui_app.pages.sign_in import NewPasswordForm
from ui_app.posting import acts
from ui_app.usage_sums import Usage

ROLES: Final = {
    Role.USER: gettext_lazy("User: uses models"),
    Role.CURATOR: gettext_lazy("Curator: looks after models, too"),
    Role.ADMINISTRATOR: gettext_lazy("Administrator: everything"),
}
NAMES: Final = {
    Role.USER: gettext_lazy("User"),
    Role.CURATOR: gettext_lazy("Curator"),
    Role.ADMINISTRATOR: gettext_lazy("Administrator"),
}


class RoleForm(forms.Form):
    """What somebody is here."""

    role = forms.ChoiceField(
        label=gettext_lazy("Role"),
        choices=[(str(role), text) for role, text in ROLES.items()],
        initial=str(Role.USER),
    )


class NewPersonForm(NewPasswordForm, RoleForm):
    """A new account, with a first password."""

    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=150,
        widget=forms.TextInput(attrs={"autocomplete": "username"}),
    )
    field_order = ("name", "role", "password", "again")

    def make(self) -> User | None:
        """The account; None when it cannot be, with the reason at the form."""
        values = self.cleaned_data
        try:
            return people.create(values["name"], values["password"], Role(values["role"]))
        except people.PersonRejected as error:
            self.add_error(None, str(error))
            return None


@needs(Scope.ADMIN)
@method_decorator([never_cache, sensitive_post_parameters()], name="dispatch")
class People(View):
    """/ui/keys/people/"""

    def get(self, request: HttpRequest) -> HttpResponse:
        return _list(request, NewPersonForm())

    def post(self, request: HttpRequest) -> HttpResponse:
        """Make an account."""
        form = NewPersonForm(request.POST)
        user = form.make() if form.is_valid() else None
        if user is None:
            return _list(request, form, status=422)
        text = _("%(name)s can sign in now. Tell them their password; they can change it.")
        messages.success(request, text % {"name": user.get_username()})
        return redirect("ui-people")


def _list(request: HttpRequest, form: NewPersonForm, status: int = 200) -> HttpResponse:
    context = {
        "form": form,
        "people": [(user, NAMES[people.role_of(user)], _keys_of(user)) for user in people.listed()],
    }
    return answer(request, "people.html", context, status)


def _keys_of(user: User) -> int:
    return ApiKey.objects.filter(person=user, revoked_at=None).count()


@needs(Scope.ADMIN)
@method_decorator(never_cache, name="dispatch")
class OnePerson(View):
    """/ui/keys/people/<pk>/"""

    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        return _one(request, _found(pk), NewPasswordForm())

    @method_decorator(sensitive_post_parameters())
    def post(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Set a new password."""
        user, form = _found(pk), NewPasswordForm(request.POST)
        if not form.is_valid() or not _set_password(user, form):
            return _one(request, user, form, status=422)
        text = _("%(name)s has a new password, and is signed out everywhere. Tell it to them.")
        messages.success(request, text % {"name": user.get_username()})
        return redirect("ui-person", pk)


def _set_password(user: User, form: NewPasswordForm) -> bool:
    try:
        people.set_password(user, form.cleaned_data["password"])
    except people.PersonRejected as error:
        form.add_error("password", str(error))
        return False
    return True


def _one(
    request: HttpRequest, user: User, form: NewPasswordForm, status: int = 200
) -> HttpResponse:
    role = people.role_of(user)
    usage = Usage.of(Q(person_id=user.pk), usage_sums.USUAL)
    context = {
        "person": user,
        "role_name": NAMES[role],
        "role_form": RoleForm(initial={"role": str(role)}),
        "form": form,
        "limits_form": LimitsForm(user),
        "keys": [shown(row) for row in ApiKey.objects.filter(person=user)],
        "total": usage.total(),
        "models": usage.by_model(),
        "chart_query": urlencode({"period": usage_sums.USUAL, "person": str(user.pk)}),
        "under": "ui-people",
    }
    return answer(request, "person.html", context, status)


@needs(Scope.ADMIN)
@acts("ui-people")
def act(request: HttpRequest, pk: int) -> HttpResponse:
    """Do what the pressed button says with an account."""
    user = _found(pk)
    verb = next((do for name, do in _VERBS.items() if name in request.POST), None)
    if verb is None:
        return redirect("ui-person", pk)
    try:
        messages.success(request, verb(user, request.POST))
        live.catch_up()
    except people.PersonRejected as error:
        messages.error(request, str(error))
    return (
        redirect("ui-person", pk) if User.objects.filter(pk=pk).exists() else redirect("ui-people")
    )


def _set_role(user: User, values: Mapping[str, Any]) -> str:
    form = RoleForm(values)
    if not form.is_valid():
        raise people.PersonRejected(_("Choose one of the roles."))
    role = Role(form.cleaned_data["role"])
    people.set_role(user, role)
    return _("%(name)s: %(role)s.") % {"name": user.get_username(), "role": NAMES[role]}


def _set_limits(user: User, values: Mapping[str, Any]) -> str:
    form = LimitsForm(user, values)
    if not form.is_valid():
        wrong = (
            f"{form[name].label}: {' '.join(map(str, texts))}"
            for name, texts in form.errors.items()
        )
        raise people.PersonRejected(" ".join(wrong))
    form.keep()
    return _("The limits of %(name)s are saved. They bind all their keys together.") % {
        "name": user.get_username()
    }


def _let_in(user: User, values: Mapping[str, Any]) -> str:
    people.set_active(user, True)
    return _("%(name)s gets in again, and so do their keys.") % {"name": user.get_username()}


def _keep_out(user: User, values: Mapping[str, Any]) -> str:
    people.set_active(user, False)
    return _("%(name)s is kept out, and so are their keys.") % {"name": user.get_username()}


def _remove(user: User, values: Mapping[str, Any]) -> str:
    name = user.get_username()
    people.remove(user)
    return _("%(name)s is removed, with their keys. What they used stays counted.") % {"name": name}


_VERBS: Final[Mapping[str, Callable[[User, Mapping[str, Any]], str]]] = {
    "set_role": _set_role,
    "set_limits": _set_limits,
    "let_in": _let_in,
    "keep_out": _keep_out,
    "remove": _remove,
}


def _found(pk: int) -> User:
    return get_object_or_404(User.objects.exclude(username=LOCAL_NAME), pk=pk)
