"""Signing in and out, one's own password, and the first administrator."""

from __future__ import annotations

import math
import time
from threading import Lock
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.contrib.auth import authenticate, login, logout, update_session_auth_hash
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from models_app import audit, people
from models_app.access import Open, needs
from models_app.guessing import Guesses, network_of
from models_app.rights import NOBODY, Rights, Role, Scope
from proxy_app.first_administrator import INVITATION
from proxy_app.serving import SERVING
from ui_app.posting import is_page_of_ours

GUESSES: Final = Guesses(free=5)
_ONE_IS_FIRST: Final = Lock()
"""The link is good once, also for several at the same moment."""
_FORMS: Final = ("GET", "HEAD", "POST")


class SignInForm(forms.Form):
    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=150,
        widget=forms.TextInput(attrs={"autocomplete": "username", "autofocus": True}),
    )
    password = forms.CharField(
        label=gettext_lazy("Password"),
        max_length=1024,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )


class NewPasswordForm(forms.Form):
    """A password, twice."""

    password = forms.CharField(
        label=gettext_lazy("New password"),
        max_length=1024,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    again = forms.CharField(
        label=gettext_lazy("The same again"),
        max_length=1024,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        if data.get("password") != data.get("again"):
            self.add_error("again", _("The two are not the same."))
        return data


class OwnPasswordForm(NewPasswordForm):
    old = forms.CharField(
        label=gettext_lazy("Present password"),
        max_length=1024,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )
    field_order = ("old", "password", "again")


class FirstAdministratorForm(NewPasswordForm):
    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=150,
        initial="admin",
        widget=forms.TextInput(attrs={"autocomplete": "username"}),
    )
    field_order = ("name", "password", "again")


class WithKeyForm(NewPasswordForm):
    key = forms.CharField(
        label=gettext_lazy("API key of this server"),
        max_length=512,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
    )
    name = FirstAdministratorForm.base_fields["name"]
    field_order = ("key", "name", "password", "again")


@needs(Open.ANYBODY)
@sensitive_post_parameters("password")
@require_http_methods(_FORMS)
def sign_in(request: HttpRequest) -> HttpResponse:
    """Ask who it is. While nobody has an account, lead to where the first one is made."""
    if not people.administrator_exists() and not User.objects.filter(is_active=True).exists():
        return redirect("ui-welcome")
    form = SignInForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        wait = _wait(request, form.cleaned_data["name"])
        user = None if wait else _authenticated(request, form.cleaned_data)
        if user is not None:
            login(request, user)
            return redirect(_next(request))
        form.add_error(None, _refusal(wait))
    status = 200 if request.method != "POST" else 422
    return render(request, "ui/sign_in.html", {"form": form, "next": _next(request)}, status=status)


def _authenticated(request: HttpRequest, data: dict[str, Any]) -> User | None:
    name, address = data["name"], _address(request)
    # Before the password is looked at, which takes a while: else many tries at once cost one.
    now = time.monotonic()
    GUESSES.missed(f"name {name.lower()}", now)
    GUESSES.missed(_network(request), now)
    user = authenticate(request, username=name, password=data["password"])
    if isinstance(user, User):
        GUESSES.hit(f"name {name.lower()}")
        GUESSES.hit(_network(request))
        audit.note("login", "signed in", people.rights_of(user), address=address)
        return user
    audit.note("login", "failed to sign in", Rights(0, name), address=address)
    return None


def _wait(request: HttpRequest, name: str) -> float:
    now = time.monotonic()
    by_name = GUESSES.wait(f"name {name.lower()}", now)
    return max(by_name, GUESSES.wait(_network(request), now))


def _refusal(wait: float) -> str:
    if wait:
        return _("Too many wrong tries. Try again in %(seconds)d s.") % {"seconds": math.ceil(wait)}
    return _("This name and password do not belong together. Capitals matter in passwords.")


@needs(Open.ANYBODY)
@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """End the session, and say so in the audit log."""
    if isinstance(request.user, User) and (rights := people.rights_of(request.user)) != NOBODY:
        audit.note("login", "signed out", rights, address=_address(request))
    logout(request)
    return redirect("ui-sign-in")


@needs(Scope.INFERENCE)
@sensitive_post_parameters()
@require_http_methods(_FORMS)
def password(request: HttpRequest) -> HttpResponse:
    """Change one's own password."""
    user = request.user
    if not isinstance(user, User) or not user.has_usable_password():
        return redirect("ui-home")
    form = OwnPasswordForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and _change_own(request, user, form):
        messages.success(request, _("Your password is changed."))
        return redirect("ui-home")
    status = 200 if request.method != "POST" else 422
    return render(request, "ui/password.html", {"form": form}, status=status)


def _change_own(request: HttpRequest, user: User, form: OwnPasswordForm) -> bool:
    who, wait = f"name {user.get_username().lower()}", _wait(request, user.get_username())
    # Before it is looked at, as in `_authenticated`.
    GUESSES.missed(who, time.monotonic())
    if wait or not user.check_password(form.cleaned_data["old"]):
        form.add_error("old", _refusal(wait) if wait else _("This is not your present password."))
        return False
    GUESSES.hit(who)
    try:
        people.set_password(user, form.cleaned_data["password"])
    except people.PersonRejected as error:
        form.add_error("password", str(error))
        return False
    update_session_auth_hash(request, user)
    audit.note("people", "changed own password", people.rights_of(user), address=_address(request))
    return True


@needs(Open.ANYBODY)
@sensitive_post_parameters()
@require_http_methods(_FORMS)
def welcome(request: HttpRequest, token: str = "") -> HttpResponse:
    """Make the first administrator: by the link the console shows, or with the server's key."""
    if people.administrator_exists():
        return redirect("ui-sign-in")
    invited, local = INVITATION.is_good(token), _sits_here(request)
    if not invited and not local and not SERVING.keys.may_be_shared():
        return render(request, "ui/welcome_closed.html", status=403)
    by_key = not invited and not local
    form = (WithKeyForm if by_key else FirstAdministratorForm)(request.POST or None)
    proven = form.is_valid() and (not by_key or _is_administrators_key(request, form))
    user = _first_administrator(form) if proven else None
    if user is not None:
        INVITATION.use()
        who = people.rights_of(user)
        made = {who.name: {"role": str(Role.ADMINISTRATOR), "active": True}}
        told = "made the first account"
        audit.note("people", told, who, address=_address(request), after=made)
        login(request, user)
        return redirect("ui-home")
    status = 200 if request.method != "POST" else 422
    return render(request, "ui/welcome.html", {"form": form}, status=status)


def _sits_here(request: HttpRequest) -> bool:
    rights: Rights = request.rights  # type: ignore[attr-defined]
    return rights.may(Scope.ADMIN)


def _is_administrators_key(request: HttpRequest, form: forms.Form) -> bool:
    who, now = f"key {_network(request)}", time.monotonic()
    wait = GUESSES.wait(who, now)
    if not wait and SERVING.keys.grants_admin(form.cleaned_data["key"]):
        GUESSES.hit(who)
        return True
    GUESSES.missed(who, now)
    form.add_error("key", _refusal(wait) if wait else _("This is no administrator's key."))
    return False


def _first_administrator(form: forms.Form) -> User | None:
    data = form.cleaned_data
    try:
        with _ONE_IS_FIRST:
            if people.administrator_exists():
                raise people.PersonRejected(_("Somebody else has just been first. Sign in."))
            return people.create(data["name"], data["password"], Role.ADMINISTRATOR)
    except people.PersonRejected as error:
        form.add_error(None, str(error))
        return None


def _next(request: HttpRequest) -> str:
    """Where somebody wanted to go: to one of our pages, or else to the first of them."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    return wanted if is_page_of_ours(wanted) else "/ui/"


def _network(request: HttpRequest) -> str:
    return f"address {network_of(_address(request))}"


def _address(request: HttpRequest) -> str:
    return str(request.META.get("REMOTE_ADDR") or "")
