"""Whoever signed in is known for a while when the database is away."""

from __future__ import annotations

import asyncio
import threading

import pytest
from django.db import OperationalError

from models_app.rights import Role, of_person
from proxy_app.access_errors import CallerUnknown
from proxy_app.incoming import Scope
from proxy_app.keys import STRANGER, Caller
from proxy_app.sessions import KEPT_SECONDS, KNOWN_SECONDS, PATIENCE_SECONDS, Sessions

CAT = Caller("cat", None, of_person(1, "cat", Role.CURATOR))


class Server:
    """Sessions with a clock to set, and a database to take away."""

    def __init__(self, patience: float = PATIENCE_SECONDS) -> None:
        self.now = 1.0
        self.is_away = False
        self.says_nothing = False
        self.rows = {"known": CAT}
        self._sessions = Sessions(self._look_up, lambda: self.now, patience)
        self.end = threading.Event()

    def _look_up(self, key: str) -> Caller:
        if self.is_away:
            raise OperationalError("gone")
        if self.says_nothing:
            self.end.wait()
        return self.rows.get(key, STRANGER)

    def asked_by(self, session: str) -> Caller:
        return asyncio.run(self.told_of(session))

    async def told_of(self, session: str) -> Caller:
        scope: Scope = {"headers": [(b"cookie", f"sessionid={session}".encode())]}
        return await self._sessions.caller_of(scope)


def test_who_goes_on_asking_is_known_as_long_as_the_database_is_away() -> None:
    server = Server()
    server.asked_by("known")
    server.is_away = True
    for _ in range(5):
        server.now += KNOWN_SECONDS / 2
        assert server.asked_by("known") == CAT


def test_who_asked_for_nothing_for_long_may_have_been_locked_meanwhile() -> None:
    server = Server()
    server.asked_by("known")
    server.is_away = True
    server.now += KEPT_SECONDS + KNOWN_SECONDS + 1
    with pytest.raises(CallerUnknown):
        server.asked_by("known")
    server.is_away = False
    assert server.asked_by("known") == CAT


def test_who_never_came_is_unknown_however_short_the_machine_runs() -> None:
    server = Server()
    server.is_away = True
    with pytest.raises(CallerUnknown):
        server.asked_by("other")


def test_who_signed_out_and_asked_since_stays_out() -> None:
    server = Server()
    server.asked_by("known")
    server.rows.clear()
    server.now += KEPT_SECONDS
    assert server.asked_by("known") is STRANGER
    server.is_away = True
    server.now += KEPT_SECONDS
    assert server.asked_by("known") is STRANGER


async def test_a_database_that_says_nothing_counts_as_away() -> None:
    server = Server(patience=1)
    assert await server.told_of("known") == CAT
    server.says_nothing = True
    server.now += KEPT_SECONDS
    try:
        assert await server.told_of("known") == CAT
        with pytest.raises(CallerUnknown):
            await server.told_of("other")
    finally:
        server.end.set()
