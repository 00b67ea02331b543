from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html

from models_app import api_keys
from models_app.admin.base import RegistryAdmin
from models_app.models import ApiKey


class ApiKeyAdmin(RegistryAdmin[ApiKey]):
    list_display = ("name", "beginning", "state", "created_at", "last_used_at", "expires_at")
    list_display_links = ("name",)
    search_fields = ("name", "prefix")
    fields = ("name", "expires_at", "beginning", "state", "created_at", "last_used_at")
    readonly_fields = ("beginning", "state", "created_at", "last_used_at")
    actions = ("revoke",)

    @admin.display(description="begins with")
    def beginning(self, row: ApiKey) -> str:
        return f"{row.prefix}…" if row.prefix else "not shown"

    @admin.display(description="state")
    def state(self, row: ApiKey) -> str:
        if row.revoked_at is not None:
            return f"revoked {row.revoked_at:%Y-%m-%d %H:%M}"
        if row.expires_at is not None and row.expires_at <= timezone.now():
            return "expired"
        return "valid"

    @admin.action(description="Revoke the selected keys")
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        for row in queryset:
            api_keys.revoke(row)

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        if change:
            obj.save(update_fields=["name", "expires_at"])
            return
        made, key = api_keys.create(obj.name, obj.expires_at)
        obj.pk, obj.prefix, obj.digest = made.pk, made.prefix, made.digest
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
