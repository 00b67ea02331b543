"""Every route, for everybody: `tests/access_matrix.txt` says which status each one gets.

The columns are nobody, three keys that have one scope each, and a person of each role who has
signed in. A route that is not in the table fails; the failure prints its row as it would be now,
to be read before it is copied.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import pytest
from asgiref.sync import async_to_sync
from celery import current_app
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client
from django.utils import timezone

from claracore_site.asgi import application, router
from models_app import api_keys, people
from models_app.models import AuditEntry
from models_app.rights import SCOPES_OF, Rights, Role, Scope
from proxy_app.keys import Caller, Key, KeyRing
from proxy_app.serving import SERVING
from proxy_app.strangers import WEBSOCKET
from tests.routes import ROUTED, Route, routes
from tests.server import ROOT

TABLE: Final = ROOT / "tests" / "access_matrix.txt"
ROLES: Final = (Role.USER, Role.CURATOR, Role.ADMINISTRATOR)
ACTORS: Final = ("nobody", *map(str, Scope), *map(str, ROLES))
CSRF: Final = "a" * 32

pytestmark = pytest.mark.django_db

Row = tuple[int, ...]


def expected() -> dict[Route, Row]:
    rows = {}
    for line in TABLE.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            path, method, *statuses = line.split()
            rows[Route(path, method)] = tuple(map(int, statuses))
    return rows


def shown(route: Route, row: Row) -> str:
    return f"{route.path:<62} {route.method:<9} " + " ".join(f"{status:>5}" for status in row)


@pytest.fixture
def headers(
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, list[tuple[bytes, bytes]]]:
    """What each actor sends along."""
    monkeypatch.setattr(current_app, "send_task", lambda *_, **__: None)
    monkeypatch.setattr(settings, "CLARACORE_HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(settings, "CLARACORE_PRIVATE_HOSTS", ["127.0.0.1"])
    keys = [
        Key(
            bytes.fromhex(api_keys.digest_of(f"sk-{scope}")),
            Caller(scope, number, Rights(0, scope, frozenset({scope}))),
        )
        for number, scope in enumerate(Scope, start=1_000_000)
    ]
    monkeypatch.setattr(SERVING.keys, "ring", KeyRing.of(False, keys, administered=True))
    sessions = {role: session_of(role) for role in ROLES}
    an_act_numbered_one()
    token = f"csrftoken={CSRF}"
    cookie = (b"cookie", token.encode())
    return {
        "nobody": [cookie],
        **{
            str(scope): [cookie, (b"authorization", b"Bearer sk-" + scope.encode())]
            for scope in Scope
        },
        **{
            str(role): [(b"cookie", f"{token}; sessionid={sessions[role]}".encode())]
            for role in ROLES
        },
    }


def an_act_numbered_one() -> None:
    """What the table's paths ask for, whatever was numbered or left before it.

    PostgreSQL goes on counting where the tests before stopped, and some request writes down an act
    on its way, which would else decide whether there is a first one.
    """
    act = AuditEntry.objects.create(at=timezone.now(), who="ann", kind="models", what="some act")
    AuditEntry.objects.filter(pk=act.pk).update(id=1)


def session_of(role: Role) -> str:
    """Of somebody who has signed in. Their ids are out of the way of the table's "1"."""
    user = User(pk=1_000_000 + ROLES.index(role), username=f"some {role}")
    people.put_role(user, role)
    user.set_password("correct horse 9")
    user.save()
    client = Client()
    client.force_login(user, backend=settings.AUTHENTICATION_BACKENDS[0])
    return client.cookies["sessionid"].value


def row_of(route: Route, headers: Mapping[str, list[tuple[bytes, bytes]]]) -> Row:
    """What the whole application answers each of them; whatever they changed is taken back."""

    async def ask_all() -> Row:
        return tuple([await ask(route, headers[actor]) for actor in ACTORS])

    with transaction.atomic():
        row: Row = async_to_sync(ask_all)()
        transaction.set_rollback(True)
    return row


async def ask(route: Route, headers: list[tuple[bytes, bytes]]) -> int:
    kind = "websocket" if route.method == WEBSOCKET else "http"
    scope = {
        "type": kind,
        "scheme": "http",
        "path": route.path,
        "raw_path": route.path.encode(),
        "query_string": b"",
        "client": ("127.0.0.1", 1),
        "headers": [(b"host", b"localhost"), (b"x-csrftoken", CSRF.encode()), *headers],
    }
    if kind == "http":
        scope["method"] = route.method
    begun: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
    leaving = asyncio.Event()
    messages = [{"type": "websocket.connect"} if kind == "websocket" else {"type": "http.request"}]

    async def receive() -> dict[str, Any]:
        if not messages:
            await leaving.wait()
            return {"type": f"{kind}.disconnect", "code": 1000}
        return dict(messages.pop())

    async def send(message: Mapping[str, Any]) -> None:
        if not begun.done():
            begun.set_result(message)

    task = asyncio.create_task(application(scope, receive, send))
    await asyncio.wait([task, begun], return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
    first = await begun
    if kind == "websocket" or _is_endless(route):
        leaving.set()  # It has no end, and what is asked for is its beginning.
    await task
    return int(first.get("status") or first.get("code") or 101)


def _is_endless(route: Route) -> bool:
    return route.path.startswith(("/api/events", "/logs", "/ui/events"))


def test_every_route_answers_everybody_as_the_table_says(
    headers: dict[str, list[tuple[bytes, bytes]]],
) -> None:
    told = expected()
    wrong = []
    for route in routes():
        row = row_of(route, headers)
        if told.get(route) != row:
            was = told.get(route)
            wrong.append(shown(route, row) + (f"   (table: {was})" if was else "   (not there)"))
    assert not wrong, "\n" + "\n".join(wrong)


def test_nothing_else_is_routed_past_django() -> None:
    """Whoever adds a pattern here adds its paths to `tests/routes.py`, and their rows."""
    http = router.application_mapping["http"].routes
    assert tuple(route.pattern.regex.pattern for route in http) == ROUTED


def test_the_table_holds_no_route_that_is_gone() -> None:
    assert set(expected()) <= set(routes())


def test_nobody_gets_anything_but_a_door() -> None:
    """Read from the table alone, so that no slip in it goes unseen."""
    open_to_all = {
        "/", "/favicon.ico", "/health", "/health/live", "/health/ready", "/upstream",
        "/ui", "/ui/texts.js", "/admin/login/", "/admin/logout/", "/admin/jsi18n/",
        "/ui/sign-in/",
        "/ui/welcome/",
        "/ui/welcome/1/",
    }  # fmt: skip
    for route, row in expected().items():
        if route.path not in open_to_all:
            assert row[0] in (302, 401, 403, 405, 4401), route


def test_no_scope_includes_another() -> None:
    for route, row in expected().items():
        by_scope = row[1 : 1 + len(Scope)]
        if route.path.startswith("/api/"):
            assert sum(status not in (401, 403) for status in by_scope) == 1, route


REFUSED: Final = (401, 403, 4401, 4403)
OF_ADMINISTRATORS: Final = tuple(
    f"/admin/{table}/"
    for table in (
        "auth/user",
        "models_app/auditentry",
        "models_app/revision",
        "models_app/serversettings",
    )
)
OF_EVERYBODY: Final = tuple(
    f"/admin/{page}"
    for page in (
        "models_app/apikey/",
        "proxy_app/usageday/",
        "proxy_app/usagehour/",
        "proxy_app/usagerow/",
        "password_change/",
        "jsi18n/",
        "login/",
        "logout/",
    )
)
"""Of tables among them everybody sees their own rows only."""


def test_a_role_gets_what_its_scopes_get() -> None:
    """Everywhere but in Django's admin, which asks for permissions and takes no keys."""
    for route, row in expected().items():
        if route.path.startswith("/admin") or route.path in ("/", "/ui/password/"):
            continue
        by_scope = dict(zip(Scope, row[1:4], strict=True))
        for role, status in zip(ROLES, row[4:], strict=True):
            let_in = {by_scope[scope] for scope in SCOPES_OF[role]}.difference(REFUSED)
            assert status in (let_in or REFUSED), (route, role)


def test_the_admin_shows_people_their_own_and_curators_the_models() -> None:
    for route, (*_, user, curator, _administrator) in expected().items():
        if not route.path.startswith("/admin/") or route.path.count("/") < 4:
            continue
        # 302 and 404: there is no row 1, which is told before anything is shown.
        if not route.path.startswith(OF_EVERYBODY):
            assert user in (302, 403, 404, 405), route
        if route.path.startswith(OF_ADMINISTRATORS):
            assert curator in (302, 403, 404, 405), route
