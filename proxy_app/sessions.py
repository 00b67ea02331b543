"""Who has signed in, for requests that Django does not see: pages use models as programs do.

A session is looked up in the database, so what was found is kept for a moment.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import replace
from http.cookies import CookieError, SimpleCookie
from importlib import import_module
from typing import Final

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.models import User
from django.http import HttpRequest

from models_app import people
from models_app.database_away import is_away
from proxy_app.access_errors import CallerUnknown
from proxy_app.database_calls import asked
from proxy_app.incoming import Scope
from proxy_app.key_rows import allowance_of
from proxy_app.keys import STRANGER, Caller

KEPT_SECONDS: Final = 2.0
"""How long somebody who signed out, or lost a right, may still be taken for signed in."""

KNOWN_SECONDS: Final = 600.0
"""How long after their last request somebody is still known while the database is away. Not for
ever: of who was locked or signed out since, nothing is heard until they come again."""

PATIENCE_SECONDS: Final = 5.0
"""After so long a database that says nothing at all counts as away."""

_MOST_KEPT: Final = 1000


class Sessions:
    """Callers by their session."""

    def __init__(
        self,
        look_up: Callable[[str], Caller] | None = None,
        clock: Callable[[], float] = time.monotonic,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        """`look_up` finds the caller of a session's key in the database; `clock` is in seconds."""
        self._look_up = look_up or _look_up
        self._clock = clock
        self._patience = patience
        self._kept: dict[str, tuple[float, Caller]] = {}

    async def caller_of(self, scope: Scope) -> Caller:
        """The person whose session's cookie came along.

        While the database is away, as they were known a while ago. Raises CallerUnknown for
        whoever was not.
        """
        key = session_key(scope)
        if not key:
            return STRANGER
        now = self._clock()
        until, caller = self._kept.get(key, (-math.inf, STRANGER))
        if until > now:
            return caller
        try:
            async with asyncio.timeout(self._patience):
                caller = await asked(self._look_up, key)
        except Exception as error:
            if not isinstance(error, TimeoutError) and not is_away(error):
                raise
            if now - until > KNOWN_SECONDS:
                raise CallerUnknown from error
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        self._kept[key] = (now + KEPT_SECONDS, caller)
        return caller


def of_user(user: object) -> Caller:
    """The caller that a person is who has signed in, without what they are limited to a minute."""
    rights = people.rights_of(user)  # type: ignore[arg-type]
    return Caller(rights.name, None, rights) if rights.scopes else STRANGER


def session_key(scope: Scope) -> str:
    """The session that the request's cookie names; "" without one."""
    for name, value in scope["headers"]:
        if name == b"cookie" and settings.SESSION_COOKIE_NAME.encode() in value:
            try:
                cookies = SimpleCookie(value.decode("latin-1"))
            except CookieError:
                return ""
            morsel = cookies.get(settings.SESSION_COOKIE_NAME)
            return "" if morsel is None else morsel.value
    return ""


def _look_up(key: str) -> Caller:
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(key)
    user = get_user(request)
    caller = of_user(user)
    if isinstance(user, User) and caller is not STRANGER:
        caller = replace(caller, own=allowance_of(user))
    return caller
