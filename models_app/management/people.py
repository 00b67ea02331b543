"""What the commands about people and keys share."""

from __future__ import annotations

import getpass

from django.contrib.auth.models import User
from django.core.management.base import CommandError

from models_app import people
from models_app.rights import EVERYTHING, Rights


def person_called(name: str) -> User:
    """Somebody by name. Raises CommandError."""
    user = User.objects.filter(username=name).first()
    if user is None:
        known = ", ".join(one.get_username() for one in people.listed()) or "nobody yet"
        raise CommandError(f"There is nobody called {name}. There are: {known}.")
    return user


def console() -> Rights:
    """Whoever runs a command on this machine may do everything anyway."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = "somebody"
    return Rights(0, f"{name} on the console", EVERYTHING)
