"""API keys: one's own, and for administrators everybody's. A key is shown once, when it is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.decorators import method_decorator
from django.utils.functional import Promise
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables

from models_app import api_keys, live
from models_app.access import needs, rights_of
from models_app.models import ApiKey
from models_app.rights import Scope
from ui_app import navigation, usage_sums
from ui_app.key_forms import KeyForm, told_limits
from ui_app.posting import acts
from ui_app.usage_sums import Usage

PAGE_ROWS: Final = 50

STATES: Final[Mapping[str, tuple[str, str | Promise]]] = {
    "valid": ("ready", gettext_lazy("Valid")),
    "expired": ("stopped", gettext_lazy("Expired")),
    "revoked": ("unavailable", gettext_lazy("Revoked")),
}
"""How a key's state looks, and its name."""

_TABS: Final = (
    ("ui-keys", gettext_lazy("Keys"), Scope.INFERENCE),
    ("ui-usage", gettext_lazy("Usage"), Scope.INFERENCE),
    ("ui-people", gettext_lazy("People"), Scope.ADMIN),
)


@dataclass(frozen=True, slots=True)
class Shown:
    """A key with its state."""

    row: ApiKey
    look: str
    label: str | Promise

    @property
    def is_valid(self) -> bool:
        return self.row.revoked_at is None


def shown(row: ApiKey) -> Shown:
    """A key as pages show it."""
    return Shown(row, *STATES[api_keys.state_of(row)])


def answer(
    request: HttpRequest, template: str, context: Mapping[str, Any], status: int = 200
) -> HttpResponse:
    """One of the pages on keys, usage and people, with what they have in common."""
    tabs = [(route, label) for route, label, scope in _TABS if navigation.may(request, scope)]
    return render(request, f"ui/keys/{template}", {"tabs": tabs, **context}, status=status)


@needs(Scope.INFERENCE)
@method_decorator(never_cache, name="dispatch")
class Keys(View):
    """/ui/keys/"""

    def get(self, request: HttpRequest) -> HttpResponse:
        return _list(request, KeyForm(rights=rights_of(request)))

    @method_decorator(sensitive_variables("key"))
    def post(self, request: HttpRequest) -> HttpResponse:
        """Make a key, and show it this once."""
        rights = rights_of(request)
        form = KeyForm(request.POST, rights=rights)
        if not api_keys.may_make(rights):
            form.add_error(None, api_keys.A_KEY_MAKES_NONE)
        if not form.is_valid():
            return _list(request, form, status=422)
        key = form.make()
        live.catch_up()  # so that the key works by the time it is seen
        return _list(request, KeyForm(rights=rights), made=(form.instance, key))


def _list(
    request: HttpRequest,
    form: KeyForm,
    made: tuple[ApiKey, str] | None = None,
    status: int = 200,
) -> HttpResponse:
    rights = rights_of(request)
    words = request.GET.get("q", "").strip()
    rows = api_keys.visible_to(rights)
    if words:
        by_person = Q(person__username__icontains=words)
        rows = rows.filter(Q(name__icontains=words) | Q(prefix__startswith=words) | by_person)
    page = Paginator(rows, PAGE_ROWS).get_page(request.GET.get("page"))
    context = {
        "form": form,
        "made": made,
        "page": page,
        "keys": [shown(row) for row in page],
        "words": words,
        "sees_others": rights.may(Scope.ADMIN),
        "may_make": api_keys.may_make(rights),
        "own_limits": told_limits(rights.person_id),
        "server": request.build_absolute_uri("/v1"),
    }
    return answer(request, "keys.html", context, status)


@needs(Scope.INFERENCE)
@method_decorator(never_cache, name="dispatch")
class OneKey(View):
    """/ui/keys/<pk>/"""

    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        row = _found(request, pk)
        return _one(request, row, KeyForm(rights=rights_of(request), instance=row))

    def post(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Change its name; for administrators also what it may do."""
        form = KeyForm(request.POST, rights=rights_of(request), instance=_found(request, pk))
        if not form.is_valid():
            return _one(request, _found(request, pk), form, status=422)
        form.change()
        messages.success(request, _("%(key)s is changed.") % {"key": form.instance.name})
        return redirect("ui-key", pk)


def _one(request: HttpRequest, row: ApiKey, form: KeyForm, status: int = 200) -> HttpResponse:
    usage = Usage.of(Q(key_id=row.pk), usage_sums.USUAL)
    context = {
        "key": shown(row),
        "form": form,
        # After the usage, for which what just ended was counted.
        "left": api_keys.tokens_left([row]).get(row.pk),
        "total": usage.total(),
        "models": usage.by_model(),
        "chart_query": urlencode({"period": usage_sums.USUAL, "key": str(row.pk)}),
        "under": "ui-keys",
    }
    return answer(request, "key.html", context, status)


@needs(Scope.INFERENCE)
@acts("ui-keys")
def revoke(request: HttpRequest, pk: int) -> HttpResponse:
    """End a key for good."""
    row = _found(request, pk)
    api_keys.revoke(row)
    live.catch_up()
    messages.success(request, _("%(key)s is revoked: it lets nobody in.") % {"key": row.name})
    return redirect("ui-keys")


def _found(request: HttpRequest, pk: int) -> ApiKey:
    return get_object_or_404(api_keys.visible_to(rights_of(request)), pk=pk)
