"""`manage.py replace_secret_key`: a new secret key, and every stored secret sealed under it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from claracore_site import env, secret_key
from models_app import audit, hf_token, sealed
from models_app.management.acts import console
from proxy_app.home_lock import HomeInUse, HomeLock


class Command(BaseCommand):
    help = (
        "Make a new secret key and seal every stored secret under it. Everybody is signed out, and "
        "API keys end: they are kept under the secret key. The server must not run. Where "
        "CLARACORE_SECRET_KEY gives the key, set it to the new one and "
        "CLARACORE_FORMER_SECRET_KEY to the old one first."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        home = Path(settings.CLARACORE_HOME)
        try:
            with HomeLock(home):
                self._replace(home / "secret_key")
        except HomeInUse as error:
            raise CommandError(str(error)) from None

    def _replace(self, file: Path) -> None:
        by_variable = bool(env.text("SECRET_KEY"))
        if by_variable and not settings.SECRET_KEY_FALLBACKS:
            raise CommandError(
                "CLARACORE_SECRET_KEY gives the key. Set it to a new one, set "
                "CLARACORE_FORMER_SECRET_KEY to the one before, and run this again."
            )
        # A former key that is still there is what an interrupted run left: it only has to end.
        if not by_variable and not secret_key.former_of(file).exists():
            secret_key.replace(file)
            settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
            settings.SECRET_KEY = secret_key.read_or_make(file)
        audit.note("server", "manage.py replace_secret_key", console())
        count = sealed.seal_again() + _seal_token()
        secret_key.former_of(file).unlink(missing_ok=True)
        self.stdout.write(
            f"{count} stored secrets are sealed under the new key. Everybody is signed out; "
            "make new API keys."
        )


def _seal_token() -> int:
    token = hf_token.read()
    if token:
        hf_token.save(token)
    return bool(token)
