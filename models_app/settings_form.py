"""The server's settings as a form: grouped, labelled and checked, for the admin and the pages."""

from __future__ import annotations

import os
from typing import Any, Final

from django import forms
from django.db.models import Q

from models_app import origins
from models_app.config_yaml.errors import ConfigError
from models_app.config_yaml.macros import Macros
from models_app.models import ApiKey, ServedModel, ServerSettings
from models_app.typed_forms import ModelForm

GROUPS: Final = (
    (
        "Engines",
        (
            "health_check_timeout",
            "start_port",
            "default_ttl",
            "unload_timeout",
            "adopt_wait",
            "start_pauses",
            "log_level",
            "preload",
            "macros",
        ),
    ),
    (
        "Queue and memory",
        ("side_by_side", "max_wait", "min_residency", "queue_length", "memory_wait"),
    ),
    (
        "Clients",
        (
            "require_api_key",
            "allowed_origins",
            "max_body_mib",
            "loading_heartbeat",
            "connect_timeout",
            "first_token_timeout",
            "next_token_timeout",
            "reading_timeout",
        ),
    ),
    (
        "Choosing settings for models",
        (
            "backend",
            "vram_gb",
            "ram_gb",
            "preferred_context",
            "min_context",
            "throughput_first",
            "enable_jinja",
        ),
    ),
    ("Files and usage", ("download_dir", "usage_days")),
    ("Revisions", ("revisions_kept", "revisions_megabytes")),
)
"""Headings, and the settings that stand under them."""


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
            "require_api_key": "Clients need a key",
            "allowed_origins": "Sites that may use the API",
            "max_body_mib": "Longest request",
            "loading_heartbeat": "Signs of life while loading",
            "connect_timeout": "Longest wait for a connection",
            "first_token_timeout": "Longest wait for an answer",
            "next_token_timeout": "Longest silence in an answer",
            "reading_timeout": "Longest wait for a client",
            "side_by_side": "Keep models beside each other",
            "unload_timeout": "Time to stop",
            "preload": "Load at start",
            "throughput_first": "Prefer speed",
            "revisions_megabytes": "Megabytes of revisions",
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
