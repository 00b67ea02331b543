"""`manage.py person`: accounts on the console."""

from __future__ import annotations

import getpass
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from models_app import people, person_limits
from models_app.management.acts import written_down
from models_app.management.limits import NO_LIMITS, add_limits, limits_in
from models_app.management.people import person_called
from models_app.rights import Role


class Command(BaseCommand):
    help = "Make, list and change accounts. A password is asked for, or read from a pipe."

    def add_arguments(self, parser: CommandParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True)
        roles = [str(role) for role in Role]
        create = acts.add_parser("create", help="make an account")
        create.add_argument("name")
        create.add_argument("--role", choices=roles, default=str(Role.USER))
        role = acts.add_parser("role", help="change what somebody is")
        role.add_argument("name")
        role.add_argument("role", choices=roles)
        for act, text in (
            ("password", "set somebody's password"),
            ("lock", "let somebody and their keys in no more"),
            ("unlock", "let somebody in again"),
            ("remove", "remove an account and its keys"),
        ):
            acts.add_parser(act, help=text).add_argument("name")
        limit = acts.add_parser("limit", help="say what somebody is limited to, with all keys")
        limit.add_argument("name")
        add_limits(limit)
        acts.add_parser("list", help="list everybody")

    def handle(self, *args: Any, **options: Any) -> None:
        act = options["act"]
        if act == "list":
            self._list()
            return
        try:
            with written_down("people", f"person {act}: {options['name']}"):
                self._do(act, options)
        except people.PersonRejected as error:
            raise CommandError(str(error)) from None
        self.stdout.write("Done.")

    def _do(self, act: str, options: dict[str, Any]) -> None:
        if act == "create":
            people.create(options["name"], _password(), Role(options["role"]))
            return
        user = person_called(options["name"])
        match act:
            case "role":
                people.set_role(user, Role(options["role"]))
            case "password":
                people.set_password(user, _password())
            case "remove":
                people.remove(user)
            case "limit":
                person_limits.set_for(user, {**NO_LIMITS, **limits_in(options)})
            case _:
                people.set_active(user, act == "unlock")

    def _list(self) -> None:
        for user in people.listed():
            state = "" if user.is_active else "  locked"
            self.stdout.write(f"{user.pk:>5}  {people.role_of(user):13}  {user.username}{state}")


def _password() -> str:
    """Asked for twice at a terminal; else the first line that comes."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    first = getpass.getpass("Password: ")
    if first != getpass.getpass("The same again: "):
        raise CommandError("The two are not the same.")
    return first
