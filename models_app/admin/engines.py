from __future__ import annotations

from django.contrib import admin
from django.utils.safestring import SafeString

from models_app.admin import display
from models_app.admin.base import ReadOnlyAdmin
from models_app.models import EngineBuild


class EngineBuildAdmin(ReadOnlyAdmin[EngineBuild]):
    list_display = ("path", "version", "active", "human_size", "flag_count", "probed_at")
    list_filter = ("active",)
    search_fields = ("path", "version")
    fields = ("path", "version", "active", "human_size", "probed_at", "device_table", "flag_list")
    readonly_fields = ("human_size", "device_table", "flag_list")

    @admin.display(description="size", ordering="size")
    def human_size(self, build: EngineBuild) -> str:
        return display.size(build.size)

    @admin.display(description="flags")
    def flag_count(self, build: EngineBuild) -> int:
        return len(build.flags)

    @admin.display(description="devices")
    def device_table(self, build: EngineBuild) -> SafeString | str:
        return display.shown(build.devices) or display.NOTHING

    @admin.display(description="flags")
    def flag_list(self, build: EngineBuild) -> SafeString | str:
        return display.text_block("\n".join(str(flag) for flag in build.flags))


admin.site.register(EngineBuild, EngineBuildAdmin)
