from __future__ import annotations

from django.contrib import admin
from django.db.models import IntegerField, QuerySet
from django.db.models.functions import Length
from django.http import HttpRequest
from django.utils.safestring import SafeString

from models_app.admin import display
from models_app.admin.base import ReadOnlyAdmin
from models_app.models import Revision


class RevisionAdmin(ReadOnlyAdmin[Revision]):
    list_display = ("__str__", "created_at", "size", "short_digest")
    date_hierarchy = "created_at"
    search_fields = ("yaml", "digest")
    search_help_text = "Any text of the config.yaml"
    fields = ("created_at", "digest", "text")
    readonly_fields = ("text",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Revision]:
        length = Length("yaml", output_field=IntegerField())
        return super().get_queryset(request).annotate(length=length).defer("yaml")

    @admin.display(description="size")
    def size(self, revision: Revision) -> str:
        length: int = getattr(revision, "length", 0)
        return f"{length:,} characters"

    @admin.display(description="digest")
    def short_digest(self, revision: Revision) -> str:
        return revision.digest[:12]

    @admin.display(description="config.yaml")
    def text(self, revision: Revision) -> SafeString | str:
        return display.text_block(revision.yaml)


admin.site.register(Revision, RevisionAdmin)
