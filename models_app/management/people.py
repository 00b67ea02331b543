"""What the commands about people and keys share."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.core.management.base import CommandError

from models_app import people


def person_called(name: str) -> User:
    """Somebody by name. Raises CommandError."""
    user = User.objects.filter(username=name).first()
    if user is None:
        known = ", ".join(one.get_username() for one in people.listed()) or "nobody yet"
        raise CommandError(f"There is nobody called {name}. There are: {known}.")
    return user
