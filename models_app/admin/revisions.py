from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import path
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from models_app import acting, hand_edits, revisions
from models_app.admin import config_files, display
from models_app.admin.base import ReadOnlyAdmin
from models_app.config_yaml import ConfigError
from models_app.models import Revision
from models_app.rights import Scope

SHOWN_LINES = 3


class RevisionAdmin(ReadOnlyAdmin[Revision]):
    further_pages = (("Import and export", "admin:models_app_revision_config"),)
    change_form_template = "admin/models_app/revision.html"
    list_display = ("__str__", "created_at", "what", "cause", "author", "kind")
    list_filter = ("kind", "author")
    list_per_page = 50
    date_hierarchy = "created_at"
    search_fields = ("yaml", "cause", "author", "digest")
    search_help_text = "Any text of the config.yaml, a cause or a person"
    fields = (
        "created_at",
        "kind",
        "cause",
        "author",
        "base",
        "whole_summary",
        "yaml_difference",
        "choices_difference",
        "text",
        "digest",
    )
    readonly_fields = ("whole_summary", "yaml_difference", "choices_difference", "text")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Revision]:
        """Without the heavy columns, of which a page reads its own."""
        return super().get_queryset(request).defer("yaml", "choices")

    def get_urls(self) -> list[Any]:
        act = self.admin_site.admin_view(self.act)
        return [
            self.own_page("config", config_files.page),
            self.own_page("export", config_files.download),
            path("<path:object_id>/act/", act, name="models_app_revision_act"),
            *super().get_urls(),
        ]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        context = {
            "may_act": self.has_act_permission(request),
            "kinds": Revision.Kind,
            **(extra_context or {}),
        }
        return super().change_view(request, object_id, form_url, context)

    # ---- Columns -----------------------------------------------------------------------------

    @admin.display(description="what changed")
    def what(self, revision: Revision) -> SafeString | str:
        lines = [str(line) for line in revision.summary]
        more = len(lines) - SHOWN_LINES
        shown = lines[:SHOWN_LINES] + ([f"and {more} more"] if more > 0 else [])
        return format_html_join(SafeString("<br>"), "{}", ((line,) for line in shown)) or "-"

    @admin.display(description="what changed")
    def whole_summary(self, revision: Revision) -> SafeString | str:
        return display.text_block("\n".join(map(str, revision.summary)))

    @admin.display(description="difference of config.yaml")
    def yaml_difference(self, revision: Revision) -> SafeString | str:
        return display.difference(revisions.difference(revision).yaml)

    @admin.display(description="difference of choices")
    def choices_difference(self, revision: Revision) -> SafeString | str:
        return display.difference(revisions.difference(revision).choices)

    @admin.display(description="config.yaml")
    def text(self, revision: Revision) -> SafeString | str:
        return display.text_block(revision.yaml)

    def has_act_permission(self, request: HttpRequest) -> bool:
        """A configuration says which programs run, an old one and an edit too."""
        return acting.rights().may(Scope.ADMIN) and super().has_act_permission(request)

    # ---- Going back, and edits that wait ---------------------------------------------------------

    def act(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Go back to a revision, or decide about an edit by hand that waits."""
        revision = get_object_or_404(Revision, pk=_key(unquote(object_id)))
        if not self.has_act_permission(request):
            raise PermissionDenied
        act = request.POST.get("act", "")
        author = str(request.user)
        try:
            if act == "back":
                self._told(request, revisions.rollback(revision, author))
            elif act == "apply":
                report = hand_edits.apply(revision, author)
                self.message_user(request, f"Applied. {report}", messages.SUCCESS)
            elif act == "dismiss":
                hand_edits.dismiss(revision)
                self.message_user(request, "Dismissed: nothing was changed.", messages.SUCCESS)
        except (revisions.CannotGoBack, hand_edits.NotWaiting, ConfigError) as error:
            self.message_user(request, str(error), messages.ERROR)
        return redirect("admin:models_app_revision_change", revision.pk)

    def _told(self, request: HttpRequest, done: revisions.RolledBack) -> None:
        for warning in done.warnings:
            self.message_user(request, warning, messages.WARNING)
        text = "\n".join(("Gone back.", *done.summary))
        if done.revision is None:
            text = "Nothing had to change: the configuration is what it was then."
        self.message_user(request, text, messages.SUCCESS)


def _key(text: str) -> int:
    """A row's key; 0, which no row has, for anything else."""
    return int(text) if text.isdecimal() and len(text) < 19 else 0


admin.site.register(Revision, RevisionAdmin)
