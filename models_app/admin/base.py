"""What the admin pages have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth import get_permission_codename
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext

from models_app import causes, changing
from models_app.admin.row_list import RowList, RowListActions
from models_app.admin.typed import ModelAdmin
from models_app.effects import Effect

M = TypeVar("M", bound=Model)


class RegistryAdmin(ModelAdmin[M]):
    """Rows under the heading of what they are."""

    action_form = RowListActions
    further_pages: tuple[tuple[str, str], ...] = ()
    """Titles and addresses' names of pages of its own, listed after its rows."""

    def has_act_permission(self, request: HttpRequest) -> bool:
        """Whether somebody may do the list's acts, also on rows that only the server writes."""
        permission = get_permission_codename("change", self.opts)
        return request.user.has_perm(f"{self.opts.app_label}.{permission}")

    def action_checkbox(self, obj: M) -> SafeString:
        """As Django's, whose widget renders templates for every row of a list."""
        return format_html(
            '<input type="checkbox" name="{}" value="{}" class="action-select" aria-label="{}">',
            ACTION_CHECKBOX_NAME,
            obj.pk,
            format_html(gettext("Select this object for an action - {}"), str(obj)),
        )

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[RowList]:
        return RowList

    def own_page(
        self, name: str, view: Callable[[RegistryAdmin[M], HttpRequest], HttpResponse]
    ) -> URLPattern:
        """The address of a page of its own, for those who may see the rows."""

        def guarded(request: HttpRequest) -> HttpResponse:
            if not self.has_view_permission(request):
                raise PermissionDenied
            with self._telling(request, f"{name} page"):
                return view(self, request)

        full_name = f"{self.opts.app_label}_{self.opts.model_name}_{name}"
        return path(f"{name}/", self.admin_site.admin_view(guarded), name=full_name)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        context = {"title": capfirst(str(self.opts.verbose_name_plural)), **(extra_context or {})}
        with self._telling(request, request.POST.get("action", "changed").replace("_", " ")):
            return super().changelist_view(request, context)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        with self._telling(request, "changed" if object_id else "added"):
            return super().changeform_view(request, object_id, form_url, extra_context)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        with self._telling(request, "deleted"):
            return super().delete_view(request, object_id, extra_context)

    @contextmanager
    def _telling(self, request: HttpRequest, act: str) -> Iterator[None]:
        """Have the revision of what changes inside say who did what here, and tell the effect."""
        if request.method != "POST":
            yield
            return
        before = changing.begin(dry_run=True)
        with causes.told(f"admin: {self.opts.verbose_name}, {act}", str(request.user)):
            yield
        effect = changing.end(before)
        if effect.added or effect.removed or effect.changed:
            self.message_user(request, f"{_what_restarts(effect)}{effect}", messages.INFO)


def _what_restarts(effect: Effect) -> str:
    """The loaded models that start anew, by name; "" when none does."""
    return f"Restarting: {', '.join(effect.restarts)}. " if effect.restarts else ""


class ReadOnlyAdmin(RegistryAdmin[M]):
    """Rows that the server writes: they cannot be added, changed or deleted here."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class SingleRowAdmin(RegistryAdmin[M]):
    """A table of one row: its list opens the row, which can be neither added nor deleted."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        row = self.row()
        if row is None or not self.has_view_or_change_permission(request):
            return super().changelist_view(request, extra_context)
        return redirect(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", row.pk)

    def row(self) -> M | None:
        """The row to open; None while there is none."""
        return self.model._default_manager.first()
