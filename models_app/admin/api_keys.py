from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html

from models_app import api_keys
from models_app.access import rights_of
from models_app.admin.base import RegistryAdmin
from models_app.key_form import LIMITS, REACH, ApiKeyForm
from models_app.models import ApiKey
from models_app.rights import Scope


class ApiKeyAdmin(RegistryAdmin[ApiKey]):
    form = ApiKeyForm
    list_display = (
        "name",
        "person",
        "beginning",
        "state",
        "granted",
        "created_at",
        "last_used_at",
        "expires_at",
    )
    list_display_links = ("name",)
    list_select_related = ("person",)
    list_filter = ("person",)
    search_fields = ("name", "prefix", "person__username")
    actions = ("revoke",)
    readonly_fields = ("beginning", "state", "created_at", "last_used_at")
    fieldsets = (
        (None, {"fields": ("name", "person", "expires_at")}),
        ("What it may be used for", {"fields": REACH}),
        ("Limits", {"description": "Leave empty what is not limited.", "fields": LIMITS}),
        ("Facts", {"fields": ("beginning", "state", "created_at", "last_used_at")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiKey]:
        rows = super().get_queryset(request)
        rights = rights_of(request)
        return rows if rights.may(Scope.ADMIN) else rows.filter(person_id=rights.person_id)

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        """Who could raise the limits of a key would not be limited by it."""
        if rights_of(request).may(Scope.ADMIN):
            return self.readonly_fields
        if obj is None:
            return ("person", *api_keys.OF_ADMINISTRATORS, *self.readonly_fields)
        return ("person", "expires_at", *REACH, *LIMITS, *self.readonly_fields)

    def get_form(
        self, request: HttpRequest, obj: ApiKey | None = None, change: bool = False, **more: Any
    ) -> Any:
        form: Any = super().get_form(request, obj, change, **more)
        if not rights_of(request).may(Scope.ADMIN):
            form.asking = request.user  # Made anew for each page.
        return form

    def get_list_filter(self, request: HttpRequest) -> Any:
        return self.list_filter if rights_of(request).may(Scope.ADMIN) else ()

    @admin.display(description="begins with")
    def beginning(self, row: ApiKey) -> str:
        return f"{row.prefix}…" if row.prefix else "not shown"

    @admin.display(description="state")
    def state(self, row: ApiKey) -> str:
        if row.revoked_at is not None:
            return f"revoked {row.revoked_at:%Y-%m-%d %H:%M}"
        return api_keys.state_of(row)

    @admin.display(description="scopes")
    def granted(self, row: ApiKey) -> str:
        return ", ".join(row.scopes)

    @admin.action(description="Revoke the selected keys")
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        for row in queryset:
            api_keys.revoke(row)

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        if change:
            obj.save(update_fields=[name for name in form.cleaned_data if name in form.fields])
            return
        rights = rights_of(request)
        if not rights.may(Scope.ADMIN):
            obj.person_id = rights.person_id
        key = api_keys.make(obj)
        self.message_user(
            request,
            format_html(
                "The key of {} is <code>{}</code>. Copy it now: it is not shown again.",
                obj.name,
                key,
            ),
            messages.WARNING,
        )


admin.site.register(ApiKey, ApiKeyAdmin)
