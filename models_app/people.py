"""Accounts: Django's users, each with a role that Django's own flags hold.

An administrator is a superuser and a curator is staff, so that `manage.py createsuperuser` and
every account that is there already mean what they say.
"""

from __future__ import annotations

from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.contrib.auth.models import AnonymousUser, User
from django.db import DatabaseError

from models_app import rights
from models_app.rights import LOCAL_NAME, Rights, Role


def role_of(user: User) -> Role:
    """What a person is here."""
    if user.is_superuser:
        return Role.ADMINISTRATOR
    return Role.CURATOR if user.is_staff else Role.USER


def rights_of(user: User | AnonymousUser) -> Rights:
    """What somebody may who has signed in; nothing when nobody has."""
    if not isinstance(user, User) or not user.is_active or user.get_username() == LOCAL_NAME:
        return rights.NOBODY
    return rights.of_person(user.pk, user.get_username(), role_of(user))


def administrator_exists() -> bool:
    """Whether somebody could sign in as an administrator with a password."""
    return (
        User.objects.filter(is_superuser=True, is_active=True)
        .exclude(password__startswith=UNUSABLE_PASSWORD_PREFIX)
        .exclude(password="")
        .exists()
    )


def local_administrator() -> User | AnonymousUser:
    """The account that acts in pages while nobody has a password."""
    found = User.objects.filter(username=LOCAL_NAME).first()
    if found is not None:
        return found
    made = User(username=LOCAL_NAME, is_staff=True, is_superuser=True, first_name="This machine")
    made.set_unusable_password()
    try:
        made.save()
    except DatabaseError:
        # A full disk must not take away the pages that would tell of it.
        return AnonymousUser()
    return made
