"""Alone on a laptop nobody has to sign in.

While no administrator with a password exists, requests that come straight from this machine
act as the local administrator. Creating one (`manage.py createsuperuser`) ends that at once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.contrib.auth import login
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.contrib.auth.models import AnonymousUser, User
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse

from proxy_app.hosts import is_loopback_name

logger = logging.getLogger(__name__)

LOCAL_USER = "local"
_FORWARDING = ("HTTP_FORWARDED", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST", "HTTP_VIA")


def is_local_request(request: HttpRequest) -> bool:
    """True for a request to a loopback name from this machine, through no proxy."""
    return (
        is_loopback_name(request.get_host())
        and is_loopback_name(request.META.get("REMOTE_ADDR") or "")
        and not any(header in request.META for header in _FORWARDING)
    )


def administrator_exists() -> bool:
    """Whether somebody could sign in as an administrator with a password."""
    return (
        User.objects.filter(is_superuser=True, is_active=True)
        .exclude(password__startswith=UNUSABLE_PASSWORD_PREFIX)
        .exclude(password="")
        .exists()
    )


def local_administrator() -> User:
    """The account that acts while nobody has a password; it can never be signed in to."""
    user, created = User.objects.get_or_create(
        username=LOCAL_USER,
        defaults={"is_staff": True, "is_superuser": True, "first_name": "This machine"},
    )
    if created:
        user.set_unusable_password()
        user.save(update_fields=["password"])
    return user


class SingleUserMiddleware:
    """Signs the local administrator in for local requests, and out once it must not act."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path.startswith(("/admin", "/ui")):
            self._settle_user(request)
        return self.get_response(request)

    def _settle_user(self, request: HttpRequest) -> None:
        allowed = is_local_request(request) and not administrator_exists()
        if request.user.is_authenticated:
            if request.user.get_username() == LOCAL_USER and not allowed:
                request.session.flush()
                request.user = AnonymousUser()
        elif allowed:
            _sign_in(request)


def _sign_in(request: HttpRequest) -> None:
    try:
        login(request, local_administrator(), "django.contrib.auth.backends.ModelBackend")
    except DatabaseError as error:
        # A full disk must not take away the pages that would tell of it.
        logger.warning("The session could not be stored: %s", error)
        request.user = User.objects.filter(username=LOCAL_USER).first() or AnonymousUser()
