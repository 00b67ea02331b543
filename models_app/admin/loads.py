from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from models_app import secrecy
from models_app.access import rights_of
from models_app.admin import display
from models_app.admin.base import ReadOnlyAdmin
from models_app.models import LoadRecord
from models_app.rights import Scope


class LoadRecordAdmin(ReadOnlyAdmin[LoadRecord]):
    list_display = ("file", "at", "predicted_size", "measured_size", "off", "seconds", "device")
    list_filter = ("at", "device", "build_path")
    list_select_related = ("file",)
    date_hierarchy = "at"
    search_fields = ("file__path", "command")
    search_help_text = "Part of the file's path or of the command"
    fields = (
        "file",
        "at",
        "seconds",
        "predicted_size",
        "measured_size",
        "off",
        "device_table",
        "device",
        "build_path",
        "started_with",
    )
    readonly_fields = (
        "seconds",
        "predicted_size",
        "measured_size",
        "off",
        "device_table",
        "started_with",
    )

    @admin.display(description="predicted", ordering="predicted")
    def predicted_size(self, load: LoadRecord) -> str:
        return display.size(load.predicted)

    @admin.display(description="measured", ordering="measured")
    def measured_size(self, load: LoadRecord) -> str:
        return display.size(load.measured)

    @admin.display(description="prediction was off by")
    def off(self, load: LoadRecord) -> str:
        return display.signed_percent(load.error)

    @admin.display(description="loaded in", ordering="load_seconds")
    def seconds(self, load: LoadRecord) -> str:
        return f"{load.load_seconds:.1f} s"

    @admin.display(description="devices")
    def device_table(self, load: LoadRecord) -> SafeString | str:
        return device_table(load)

    @admin.display(description="command")
    def started_with(self, load: LoadRecord) -> SafeString | str:
        return display.text_block(secrecy.hidden(load.command))

    def get_search_fields(self, request: HttpRequest) -> Any:
        """A search would tell what is hidden, letter by letter."""
        fields = super().get_search_fields(request)
        is_told = rights_of(request).may(Scope.ADMIN)
        return fields if is_told else [name for name in fields if name != "command"]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        if lookup.startswith("command"):
            return False
        return bool(super().lookup_allowed(lookup, value, request))


def device_table(load: LoadRecord) -> SafeString | str:
    """Each device with what was predicted and measured."""
    return display.table(
        {
            one["device"]: f"predicted {display.size(one['predicted'])}, "
            f"measured {display.size(one['measured'])}"
            for one in load.devices
        }
    )


admin.site.register(LoadRecord, LoadRecordAdmin)
