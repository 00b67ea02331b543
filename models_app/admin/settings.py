from __future__ import annotations

import os
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Q

from models_app import origins
from models_app.admin.base import SingleRowAdmin
from models_app.admin.typed import ModelForm
from models_app.config_yaml.errors import ConfigError
from models_app.config_yaml.macros import Macros
from models_app.models import ApiKey, ServedModel, ServerSettings


class SettingsForm(ModelForm[ServerSettings]):
    class Meta:
        model = ServerSettings
        exclude = ("kept_keys",)
        labels = {  # noqa: RUF012
            "default_ttl": "Unload after",
            "vram_gb": "VRAM",
            "ram_gb": "RAM",
            "enable_jinja": "Use Jinja templates",
            "download_dir": "Download folder",
            "usage_days": "Keep requests for",
            "health_check_timeout": "Load timeout",
            "max_wait": "Longest wait",
            "adopt_wait": "Outlive the server",
            "start_pauses": "Pauses after failures",
            "min_residency": "Shortest stay",
            "memory_wait": "Longest wait for memory",
            "min_context": "Least context",
        }
        widgets = {  # noqa: RUF012
            "allowed_origins": forms.Textarea(attrs={"rows": 2, "cols": 80, "spellcheck": "false"}),
            "start_pauses": forms.Textarea(attrs={"rows": 1, "cols": 80, "spellcheck": "false"}),
            "preload": forms.Textarea(attrs={"rows": 2, "cols": 80, "spellcheck": "false"}),
            "macros": forms.Textarea(attrs={"rows": 4, "cols": 80, "spellcheck": "false"}),
        }

    def clean_preload(self) -> list[str]:
        ids = self.cleaned_data["preload"]
        if not isinstance(ids, list) or not all(isinstance(item, str) for item in ids):
            raise forms.ValidationError('Enter a list of model ids, such as ["llama-3.2-3b"].')
        for name in ids:
            if not ServedModel.objects.filter(Q(model_id=name) | Q(aliases__alias=name)).exists():
                raise forms.ValidationError(f"There is no model “{name}”. Correct or remove it.")
        return ids

    def clean_macros(self) -> dict[str, str]:
        given = self.cleaned_data["macros"]
        if not isinstance(given, dict):
            raise forms.ValidationError('Enter names with texts, such as {"threads": "8"}.')
        macros = {name: str(value) for name, value in given.items()}
        try:
            for name in macros:
                Macros(macros).check(name)
        except ConfigError as error:
            raise forms.ValidationError(f"{str(error).capitalize()}.") from error
        return macros

    def clean_allowed_origins(self) -> list[str]:
        try:
            return origins.checked(self.cleaned_data["allowed_origins"])
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error

    def clean_require_api_key(self) -> bool:
        on: bool = self.cleaned_data["require_api_key"]
        if on and not ApiKey.objects.filter(revoked_at=None).exists():
            raise forms.ValidationError("Make an API key first; nobody could use the API.")
        return on

    def clean_download_dir(self) -> str:
        path: str = self.cleaned_data["download_dir"]
        if path and not os.path.isabs(path):
            raise forms.ValidationError("Enter an absolute path, such as /srv/models.")
        return path

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        least, preferred = values.get("min_context"), values.get("preferred_context")
        if least and preferred and least > preferred:
            self.add_error("min_context", f"Enter at most the preferred context, {preferred:,}.")
        return values


class SettingsAdmin(SingleRowAdmin[ServerSettings]):
    form = SettingsForm
    fieldsets = (
        (
            "Engines",
            {
                "fields": (
                    "health_check_timeout",
                    "start_port",
                    "default_ttl",
                    "unload_timeout",
                    "adopt_wait",
                    "start_pauses",
                    "log_level",
                    "preload",
                    "macros",
                )
            },
        ),
        (
            "Queue and memory",
            {
                "fields": (
                    "side_by_side",
                    "max_wait",
                    "min_residency",
                    "queue_length",
                    "memory_wait",
                )
            },
        ),
        (
            "Clients",
            {
                "fields": (
                    "require_api_key",
                    "allowed_origins",
                    "max_body_mib",
                    "loading_heartbeat",
                    "connect_timeout",
                    "first_token_timeout",
                    "next_token_timeout",
                    "reading_timeout",
                )
            },
        ),
        (
            "Choosing settings for models",
            {
                "fields": (
                    "backend",
                    "vram_gb",
                    "ram_gb",
                    "preferred_context",
                    "min_context",
                    "throughput_first",
                    "enable_jinja",
                )
            },
        ),
        ("Files and usage", {"fields": ("download_dir", "usage_days")}),
        ("Revisions", {"fields": ("revisions_kept", "revisions_megabytes")}),
    )

    def row(self) -> ServerSettings:
        return ServerSettings.current()


admin.site.register(ServerSettings, SettingsAdmin)
