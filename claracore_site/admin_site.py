"""The admin as ClaraCore's: its name, and its tables under headings that say what they are for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.parse import urlencode

from django.contrib.admin import AdminSite
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser, PermissionsMixin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import get_script_prefix, reverse
from django.utils.translation import get_language

from models_app.access import rights_of
from models_app.rights import Scope

SECTIONS: Final = {
    "Serving": ("ServedModel", "VirtualModel", "ModelGroup", "ServerSettings"),
    "Files": ("ModelFolder", "GgufFile", "ScanRun", "Download", "DownloadSettings"),
    "Configuration": ("Revision",),
    "This machine": ("MachineReport", "Node", "EngineInstall", "EngineBuild", "LoadRecord"),
    "Usage": ("UsageRow", "UsageHour", "UsageDay"),
    "Access": ("User", "ApiKey", "AuditEntry"),
}
"""Headings, each with its tables in order. What is named nowhere stays under its app."""

LISTS_KEPT: Final = 32
"""There are three roles; more come about where rights are given one by one."""


class ClaraCoreAdmin(AdminSite):
    site_header = "ClaraCore"
    site_title = "ClaraCore"
    index_title = "Admin"
    site_url = "/ui/"

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        self._lists: dict[tuple[object, ...], list[dict[str, Any]]] = {}

    def has_permission(self, request: HttpRequest) -> bool:
        """Everybody who has signed in; what they see there follows from their role."""
        return request.user.is_active and rights_of(request).may(Scope.INFERENCE)

    def login(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """There is one page to sign in on, for the admin as well."""
        if request.method == "GET" and self.has_permission(request):
            return redirect("admin:index")
        wanted = request.GET.get(REDIRECT_FIELD_NAME) or reverse("admin:index")
        return redirect(f"{reverse('ui-sign-in')}?{urlencode({'next': wanted})}")

    def password_change(self, request: HttpRequest, extra_context: Any = None) -> Any:
        return redirect("ui-password")

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """What the index and the side list: sections instead of apps.

        Every page shows it, and asking each table for each right takes an eighth of a page's time;
        so it is kept for all who may do the same.
        """
        if app_label is not None:
            return super().get_app_list(request, app_label)
        key = (get_language(), get_script_prefix(), *_may(request.user))
        kept = self._lists.get(key)
        if kept is None:
            if len(self._lists) >= LISTS_KEPT:
                self._lists.clear()
            kept = self._lists[key] = self._sections(super().get_app_list(request))
        return list(kept)

    def _sections(self, apps: list[Any]) -> list[dict[str, Any]]:
        tables = {table["object_name"]: table for app in apps for table in app["models"]}
        sections = [
            _section(name, [tables[table] for table in names if table in tables])
            for name, names in SECTIONS.items()
        ]
        placed = {name for names in SECTIONS.values() for name in names}
        for app in apps:
            rest = [table for table in app["models"] if table["object_name"] not in placed]
            sections.append({**app, "models": rest})
        for section in sections:
            section["models"] = list(self._with_pages(section["models"]))
        return [section for section in sections if section["models"]]

    def _with_pages(self, tables: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Each table, and after it the further pages that its admin has."""
        for table in tables:
            yield table
            for title, address in getattr(self._registry[table["model"]], "further_pages", ()):
                yield {
                    "name": title,
                    "object_name": address.rpartition("_")[2],
                    "admin_url": reverse(address),
                    "add_url": None,
                    "view_only": True,
                }


def _may(user: AbstractBaseUser | AnonymousUser) -> Iterator[object]:
    """What the tables' rights follow from."""
    yield user.is_active
    if isinstance(user, PermissionsMixin):
        # Asked for all they may do, those who may do everything have it read from the database.
        yield user.is_superuser or frozenset(user.get_all_permissions())


def _section(name: str, tables: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": name,
        "app_label": name.lower().replace(" ", "-"),
        "app_url": "",
        "has_module_perms": True,
        "models": tables,
    }
