"""The Hugging Face token: whose it is, and to whom it may be told."""

from __future__ import annotations

from django.conf import settings

from downloads_app.remote import same_host
from models_app import hf_token


def current() -> str:
    """The token of the environment, else the one saved in the settings; empty without either."""
    return settings.CLARACORE_HF_TOKEN or hf_token.read()


def for_address(url: str, own: str = "") -> str:
    """The token to send to `url`: only the hub itself is told one. `own` goes before others."""
    return (own or current()) if same_host(url, settings.CLARACORE_HF_ENDPOINT) else ""
