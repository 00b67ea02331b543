"""`manage.py key`: make, list and revoke API keys on the console."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from models_app import api_keys
from models_app.management.acts import written_down
from models_app.management.limits import add_limits, limits_in, positive
from models_app.management.people import person_called
from models_app.models import ApiKey
from models_app.rights import Scope


class Command(BaseCommand):
    help = "Make, list and revoke API keys."

    def add_arguments(self, parser: CommandParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True)
        create = acts.add_parser("create", help="make a key and print it, once")
        create.add_argument("name", help="whose key it is, or what for")
        create.add_argument("--person", help="whose it is; it grants no more than this person has")
        create.add_argument(
            "--scope",
            action="append",
            choices=[str(scope) for scope in Scope],
            help="what it may be used for; may be given more than once (default inference). None "
            "includes another: a key with manage alone neither uses nor lists models",
        )
        create.add_argument("--days", type=positive, help="days until it expires")
        create.add_argument("--priority", type=int, help="higher goes first")
        add_limits(create)
        acts.add_parser("list", help="list all keys, the newest first")
        revoke = acts.add_parser("revoke", help="end a key for good")
        revoke.add_argument("key", help="its number, or how it begins")

    def handle(self, *args: Any, **options: Any) -> None:
        match options["act"]:
            case "create":
                self._create(options)
            case "list":
                self._list()
            case _:
                self._revoke(options["key"])

    def _create(self, options: dict[str, Any]) -> None:
        person = person_called(options["person"]) if options["person"] else None
        expires = timezone.now() + timedelta(days=options["days"]) if options["days"] else None
        try:
            with written_down("keys", f"key create: {options['name']}"):
                _, key = api_keys.create(
                    options["name"],
                    expires,
                    person=person,
                    scopes=options["scope"] or [str(Scope.INFERENCE)],
                    priority=options["priority"],
                    **limits_in(options),
                )
        except api_keys.KeyRejected as error:
            raise CommandError(str(error)) from None
        self.stdout.write(key)
        self.stderr.write("Copy it now: it is not shown again.")

    def _list(self) -> None:
        for row in ApiKey.objects.select_related("person"):
            whose = row.person.get_username() if row.person else "-"
            used = f"{row.last_used_at:%Y-%m-%d %H:%M}" if row.last_used_at else "never"
            self.stdout.write(
                f"{row.pk:>5}  {row.prefix or '-':8}  {api_keys.state_of(row):8}  "
                f"{','.join(row.scopes):24}  {whose:16}  used {used:16}  {row.name}"
            )

    def _revoke(self, text: str) -> None:
        rows = ApiKey.objects.filter(revoked_at=None)
        found = list(rows.filter(pk=int(text)) if text.isdigit() else rows.filter(prefix=text[:8]))
        if len(found) != 1 or not text:
            several = "Several keys begin" if found else "No valid key begins"
            raise CommandError(
                f"{several} with {text!r}. `manage.py key list` shows their numbers."
            )
        with written_down("keys", f"key revoke: {found[0]}"):
            api_keys.revoke(found[0])
        self.stdout.write(f"Revoked: {found[0]}")
