from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.utils.html import format_html

from models_app.admin.base import ReadOnlyAdmin
from models_app.models import AuditEntry


class AuditAdmin(ReadOnlyAdmin[AuditEntry]):
    list_display = ("at", "who", "kind", "what", "address")
    list_display_links = ("at", "what")
    list_filter = ("kind", "at")
    date_hierarchy = "at"
    search_fields = ("who", "what")
    search_help_text = "Part of a name, or of what was done"
    fields = ("at", "who", "address", "kind", "what", "was", "became")
    readonly_fields = ("was", "became")

    @admin.display(description="before")
    def was(self, row: AuditEntry) -> str:
        return _readable(row.before)

    @admin.display(description="after")
    def became(self, row: AuditEntry) -> str:
        return _readable(row.after)


def _readable(value: Any) -> str:
    if not value:
        return "Nothing."
    return format_html("<pre>{}</pre>", json.dumps(value, indent=2, ensure_ascii=False))


admin.site.register(AuditEntry, AuditAdmin)
