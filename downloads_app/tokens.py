"""The Hugging Face token: whose it is, and to whom it may be told."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings

from downloads_app.remote import same_host


def _nothing_saved() -> str:
    return ""


saved: Callable[[], str] = _nothing_saved
"""Gives the token that a person saved in the settings; whoever keeps it puts itself here."""


def current() -> str:
    """The token of the environment, else the saved one; empty without either."""
    return settings.CLARACORE_HF_TOKEN or saved()


def for_address(url: str, own: str = "") -> str:
    """The token to send to `url`: only the hub itself is told one. `own` goes before others."""
    return (own or current()) if same_host(url, settings.CLARACORE_HF_ENDPOINT) else ""
