from __future__ import annotations

from django.contrib import admin

from models_app.admin.base import SingleRowAdmin
from models_app.models import ServerSettings
from models_app.settings_form import GROUPS, SettingsForm


class SettingsAdmin(SingleRowAdmin[ServerSettings]):
    form = SettingsForm
    fieldsets = tuple((heading, {"fields": names}) for heading, names in GROUPS)

    def row(self) -> ServerSettings:
        return ServerSettings.current()


admin.site.register(ServerSettings, SettingsAdmin)
