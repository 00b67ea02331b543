from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from models_app.admin import display
from models_app.admin.base import SingleRowAdmin
from models_app.models import MachineReport


class MachineAdmin(SingleRowAdmin[MachineReport]):
    fields = ("read_at", "fact_table")
    readonly_fields = ("read_at", "fact_table")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="facts")
    def fact_table(self, report: MachineReport) -> SafeString | str:
        return display.table(report.facts)


admin.site.register(MachineReport, MachineAdmin)
