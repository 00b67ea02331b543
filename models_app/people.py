"""Accounts: Django's users, each with a role that Django's own flags hold.

An administrator is a superuser and a curator is staff, so that `manage.py createsuperuser` and
every account that is there already mean what they say.
"""

from __future__ import annotations

from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import DatabaseError, transaction
from django.db.models import QuerySet

from models_app import person_limits, rights
from models_app.rights import LOCAL_NAME, Rights, Role


class PersonRejected(ValueError):
    """An account cannot be made or changed like that; the message says why."""


def role_of(user: User) -> Role:
    """What a person is here."""
    if user.is_superuser:
        return Role.ADMINISTRATOR
    return Role.CURATOR if user.is_staff else Role.USER


def rights_of(user: User | AnonymousUser) -> Rights:
    """What somebody may who has signed in; nothing when nobody has."""
    if not isinstance(user, User) or not user.is_active or user.get_username() == LOCAL_NAME:
        return rights.NOBODY
    bounds = person_limits.bounds_of(user)
    return rights.of_person(user.pk, user.get_username(), role_of(user), bounds)


def administrator_exists() -> bool:
    """Whether somebody could sign in as an administrator with a password."""
    return _administrators().exists()


def _administrators() -> QuerySet[User]:
    """Those who can sign in."""
    return (
        User.objects.filter(is_superuser=True, is_active=True)
        .exclude(password__startswith=UNUSABLE_PASSWORD_PREFIX)
        .exclude(password="")
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


def create(name: str, password: str, role: Role) -> User:
    """A new account. Raises PersonRejected."""
    name = name.strip()
    check_name(name)
    user = User(username=name)
    put_role(user, role)
    _put_password(user, password)
    user.save()
    return user


def set_role(user: User, role: Role) -> None:
    """Change what somebody is. Raises PersonRejected for the last administrator."""
    with transaction.atomic():
        if role is not Role.ADMINISTRATOR:
            keep_one_administrator(user)
        put_role(user, role)
        user.save(update_fields=["is_superuser", "is_staff"])


def set_active(user: User, on: bool) -> None:
    """Let somebody in or keep them out, keys included. Raises PersonRejected for the last one."""
    with transaction.atomic():
        if not on:
            keep_one_administrator(user)
        user.is_active = on
        user.save(update_fields=["is_active"])


def set_password(user: User, password: str) -> None:
    """Raises PersonRejected when it is too easy to guess."""
    _put_password(user, password)
    user.save(update_fields=["password"])


def remove(user: User) -> None:
    """Remove an account and its keys. Raises PersonRejected for the last administrator."""
    with transaction.atomic():
        keep_one_administrator(user)
        user.delete()


def listed() -> list[User]:
    """Everybody who has an account, by name; not whoever merely sits at this machine."""
    people = User.objects.exclude(username=LOCAL_NAME).select_related("limits")
    return list(people.order_by("username"))


def keep_one_administrator(user: User) -> None:
    """Raises PersonRejected when nobody but this person is one.

    Without an administrator, whoever sits at this machine would be one again.
    """
    if not user.is_superuser or not user.is_active:
        return
    others = _administrators().select_for_update().exclude(pk=user.pk)
    if not others.exclude(username=LOCAL_NAME).exists():
        raise PersonRejected(
            f"{user.get_username()} is the only administrator. Make another one first."
        )


def check_name(name: str) -> None:
    """Raises PersonRejected for a name that a new account cannot have."""
    if name == LOCAL_NAME:
        raise PersonRejected(f"The name '{LOCAL_NAME}' is taken by whoever sits at this machine.")
    try:
        User._meta.get_field("username").clean(name, None)
    except ValidationError as error:
        raise PersonRejected(" ".join(error.messages)) from None
    if User.objects.filter(username__iexact=name).exists():
        raise PersonRejected(f"There is somebody called {name} already. Choose another name.")


def put_role(user: User, role: Role) -> None:
    """Make somebody what `role` says; to be saved."""
    user.is_superuser = role is Role.ADMINISTRATOR
    user.is_staff = role is not Role.USER


def check_password(user: User, password: str) -> None:
    """Raises PersonRejected for one that is too easy to guess."""
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise PersonRejected(" ".join(error.messages)) from None


def _put_password(user: User, password: str) -> None:
    check_password(user, password)
    user.set_password(password)
