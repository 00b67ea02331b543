"""Accounts, signing in, and what each role reaches."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.test import Client

from models_app import api_keys, people
from models_app.guessing import Guesses
from models_app.models import AuditEntry
from models_app.rights import LOCAL_NAME, NOBODY, Role
from proxy_app.first_administrator import INVITATION
from proxy_app.key_rows import read_ring
from proxy_app.serving import SERVING
from ui_app.pages import sign_in

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse 9"
SIGN_IN = "/ui/sign-in/"
SETTINGS = "/api/settings/system"


@pytest.fixture(autouse=True)
def no_guesses(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sign_in, "GUESSES", Guesses(free=3))
    yield
    INVITATION.use()


def person(role: Role, name: str = "ann") -> User:
    return people.create(name, PASSWORD, role)


def signed_in(name: str = "ann") -> Client:
    client = Client(SERVER_NAME="localhost")
    reply = client.post(SIGN_IN, {"name": name, "password": PASSWORD})
    assert reply.status_code == 302, reply.content.decode()
    return client


def test_alone_at_this_machine_nobody_has_to_sign_in(client: Client) -> None:
    assert client.get("/ui/models/").status_code == 200
    assert client.get("/admin/").status_code == 200
    assert client.get(SETTINGS).status_code == 200


def test_an_administrator_ends_that_at_once(client: Client) -> None:
    """S1: the first implementation was open to everybody, whatever was set up."""
    person(Role.ADMINISTRATOR)
    reply = client.get("/ui/models/")
    assert reply.status_code == 302
    assert reply["Location"] == f"{SIGN_IN}?next=%2Fui%2Fmodels%2F"
    assert client.get(SETTINGS).status_code == 401
    assert client.get("/admin/").status_code == 302


@pytest.mark.parametrize(
    "meta",
    [
        {"HTTP_X_FORWARDED_FOR": "127.0.0.1"},
        {"HTTP_VIA": "1.1 proxy"},
        {"REMOTE_ADDR": "192.168.1.7"},
        {"SERVER_NAME": "box.lan"},
    ],
)
def test_elsewhere_somebody_has_to(meta: dict[str, str], settings: Any) -> None:
    """S13: a forwarding header is never taken for an address."""
    settings.ALLOWED_HOSTS = ["box.lan", "localhost"]
    client = Client(**{"SERVER_NAME": "localhost", **meta})  # type: ignore[arg-type]
    assert client.get(SETTINGS).status_code == 401


def test_a_wrong_password_is_refused_and_noted_and_a_right_one_lets_in(client: Client) -> None:
    person(Role.ADMINISTRATOR)
    reply = client.post(SIGN_IN, {"name": "ann", "password": "wrong"})
    assert reply.status_code == 422 and "belong together" in reply.content.decode()
    reply = client.post(SIGN_IN, {"name": "ann", "password": PASSWORD, "next": "/ui/models/"})
    assert reply["Location"] == "/ui/models/"
    noted = list(AuditEntry.objects.order_by("pk").values_list("kind", "what", "who"))
    assert noted == [("login", "failed to sign in", "ann"), ("login", "signed in", "ann")]
    assert "wrong" not in str(AuditEntry.objects.values())


def test_guessing_is_slowed_down_even_when_the_guess_is_right(client: Client) -> None:
    person(Role.ADMINISTRATOR)
    for _ in range(3):
        client.post(SIGN_IN, {"name": "ann", "password": "wrong"})
    reply = client.post(SIGN_IN, {"name": "ann", "password": PASSWORD})
    assert reply.status_code == 422 and "Too many wrong tries" in reply.content.decode()


def test_a_name_is_the_same_however_it_is_written(client: Client) -> None:
    person(Role.ADMINISTRATOR)
    for number, name in enumerate(("ann", "Ann", "ANN")):
        elsewhere = Client(SERVER_NAME="localhost", REMOTE_ADDR=f"127.0.0.{number + 2}")
        elsewhere.post(SIGN_IN, {"name": name, "password": "wrong"})
    reply = client.post(SIGN_IN, {"name": "ann", "password": PASSWORD})
    assert "Too many wrong tries" in reply.content.decode()


def test_so_is_guessing_ones_own_password() -> None:
    """By somebody at a page that was left open."""
    person(Role.ADMINISTRATOR)
    client, new = signed_in(), {"password": "another horse 7", "again": "another horse 7"}
    for _ in range(3):
        client.post("/ui/password/", {"old": "wrong", **new})
    reply = client.post("/ui/password/", {"old": PASSWORD, **new})
    assert reply.status_code == 422 and "Too many wrong tries" in reply.content.decode()
    assert User.objects.get().check_password(PASSWORD)


@pytest.mark.parametrize("is_https", [True, False])
def test_no_script_and_no_other_site_gets_the_session(is_https: bool, client: Client) -> None:
    person(Role.ADMINISTRATOR)
    form = {"name": "ann", "password": PASSWORD}
    session = client.post(SIGN_IN, form, secure=is_https).cookies["sessionid"]
    assert (session["httponly"], session["samesite"]) == (True, "Lax")
    assert bool(session["secure"]) is is_https


class Watching(ModelBackend):
    """Says how long the next try has to wait while this one is looked at."""

    waits: ClassVar[list[float]] = []

    def authenticate(self, *args: Any, **kwargs: Any) -> Any:
        self.waits.append(sign_in.GUESSES.wait("name ann", time.monotonic()))
        return super().authenticate(*args, **kwargs)


def test_many_tries_at_once_are_many_tries(client: Client, settings: Any) -> None:
    person(Role.ADMINISTRATOR)
    settings.AUTHENTICATION_BACKENDS = [f"{__name__}.Watching"]
    for _ in range(3):
        client.post(SIGN_IN, {"name": "ann", "password": "wrong"})
    assert [wait > 0 for wait in Watching.waits] == [False, False, True]


def test_another_site_is_no_place_to_go_on_to(client: Client) -> None:
    person(Role.ADMINISTRATOR)
    form = {"name": "ann", "password": PASSWORD, "next": "https://evil.example/"}
    assert client.post(SIGN_IN, form)["Location"] == "/ui/"


@pytest.mark.parametrize(
    "wanted",
    [
        *("/unload", "/upstream/fox/", "/uix/", "//evil.example/ui/", "http://localhost/unload"),
        *("/ui/../unload", "/ui/%2E%2e/unload", "/ui/..\\unload", "/ui\\..\\unload"),
    ],
)
def test_signing_in_leads_to_pages_only(client: Client, wanted: str) -> None:
    """A link on any page may lead to /ui/sign-in/?next=/unload, and what follows seems our own."""
    person(Role.ADMINISTRATOR)
    form = {"name": "ann", "password": PASSWORD, "next": wanted}
    assert client.post(SIGN_IN, form)["Location"] == "/ui/"


def test_guesses_from_all_of_a_network_count_as_one() -> None:
    person(Role.ADMINISTRATOR)
    for number in range(6):
        client = Client(REMOTE_ADDR=f"2001:db8:1:2::{number:x}")
        reply = client.post(SIGN_IN, {"name": f"somebody {number}", "password": "wrong"})
    assert "Too many wrong tries" in reply.content.decode()
    elsewhere = Client(REMOTE_ADDR="2001:db8:1:3::1")
    reply = elsewhere.post(SIGN_IN, {"name": "somebody", "password": "wrong"})
    assert "belong together" in reply.content.decode()


def test_signing_out_ends_it() -> None:
    person(Role.ADMINISTRATOR)
    client = signed_in()
    assert client.get(SETTINGS).status_code == 200
    client.post("/ui/sign-out/")
    assert client.get(SETTINGS).status_code == 401


@pytest.mark.parametrize(
    ("role", "settings", "folders", "models"),
    [
        (Role.ADMINISTRATOR, 200, 200, 200),
        (Role.CURATOR, 200, 200, 200),
        (Role.USER, 403, 403, 200),
    ],
)
def test_each_role_reaches_its_own(role: Role, settings: int, folders: int, models: int) -> None:
    person(Role.ADMINISTRATOR, "root")
    person(role)
    client = signed_in()
    assert client.get(SETTINGS).status_code == settings
    assert client.get("/api/config/folders").status_code == folders
    assert client.get("/ui/models/").status_code == models
    saved = client.post(SETTINGS, "{}", content_type="application/json")
    assert saved.status_code == (200 if role is Role.ADMINISTRATOR else 403)


def test_a_refusal_says_what_is_lacking_and_who_has_it() -> None:
    person(Role.ADMINISTRATOR, "root")
    person(Role.USER)
    told = signed_in().get("/api/config/folders").json()
    assert told["code"] == "NOT_ALLOWED"
    assert "'manage'" in told["error"] and "administrator" in told["error"]


def test_the_set_up_link_makes_the_first_administrator_once() -> None:
    away = Client(SERVER_NAME="localhost", REMOTE_ADDR="10.0.0.2")
    address = f"/ui/welcome/{INVITATION.make()}/"
    form = {"name": "boss", "password": PASSWORD, "again": PASSWORD}
    assert away.post("/ui/welcome/guess/", form).status_code == 403
    assert away.get(address).status_code == 200
    weak = away.post(address, {**form, "password": "12345", "again": "12345"})
    assert weak.status_code == 422
    assert away.post(address, {**form, "again": "other"}).status_code == 422
    assert away.post(address, form)["Location"] == "/ui/"
    assert away.get(SETTINGS).status_code == 200
    assert people.administrator_exists()
    assert Client(SERVER_NAME="localhost").get(address).status_code == 302
    User.objects.all().delete()
    assert Client(SERVER_NAME="localhost", REMOTE_ADDR="10.0.0.2").get(address).status_code == 403


def test_once_a_key_is_required_the_first_account_needs_it(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3: the first implementation let anybody turn the key off."""
    api_keys.set_shared("sesame-opens")
    api_keys.require(True)
    monkeypatch.setattr(SERVING.keys, "ring", read_ring())
    assert client.get("/ui/models/").status_code == 302
    form = {"name": "boss", "password": PASSWORD, "again": PASSWORD}
    guesser = Client(SERVER_NAME="localhost", REMOTE_ADDR="10.0.0.2")
    for _ in range(3):
        assert guesser.post("/ui/welcome/", {**form, "key": "guess"}).status_code == 422
    reply = guesser.post("/ui/welcome/", {**form, "key": "sesame-opens"})
    assert reply.status_code == 422 and "Too many wrong tries" in reply.content.decode()
    assert client.post("/ui/welcome/", {**form, "key": "guess"}).status_code == 422
    assert client.post("/ui/welcome/", {**form, "key": "sesame-opens"}).status_code == 302
    assert people.administrator_exists()


def test_somebody_changes_their_own_password() -> None:
    person(Role.ADMINISTRATOR)
    client = signed_in()
    form = {"old": "wrong", "password": "another horse 7", "again": "another horse 7"}
    assert client.post("/ui/password/", form).status_code == 422
    assert client.post("/ui/password/", {**form, "old": PASSWORD}).status_code == 302
    assert client.get(SETTINGS).status_code == 200
    assert User.objects.get().check_password("another horse 7")


def test_nobody_signs_in_as_whoever_sits_at_this_machine() -> None:
    somebody = User.objects.create_superuser(LOCAL_NAME, password=PASSWORD)
    assert people.rights_of(somebody) is NOBODY


def test_the_last_administrator_stays() -> None:
    ann = person(Role.ADMINISTRATOR)
    with pytest.raises(people.PersonRejected, match="only administrator"):
        people.set_role(ann, Role.USER)
    with pytest.raises(people.PersonRejected, match="only administrator"):
        people.set_active(ann, False)
    with pytest.raises(people.PersonRejected, match="only administrator"):
        people.remove(ann)
    User.objects.create_superuser("nobody", password=None)
    with pytest.raises(people.PersonRejected, match="only administrator"):
        people.set_active(ann, False)  # Nobody could sign in, and this machine would be open again.
    person(Role.ADMINISTRATOR, "ben")
    people.set_role(ann, Role.USER)


def test_a_key_grants_no_more_than_its_person_has() -> None:
    ann = person(Role.CURATOR)
    with pytest.raises(api_keys.KeyRejected, match="a curator"):
        api_keys.create("all", person=ann, scopes=["admin"])
    person(Role.ADMINISTRATOR, "root")
    _, key = api_keys.create("tools", person=ann, scopes=["manage", "inference"])
    client = Client(SERVER_NAME="localhost", headers={"X-API-Key": key})
    assert client.get("/api/config/folders").status_code == 200
    people.set_role(ann, Role.USER)
    assert client.get("/api/config/folders").status_code == 403
    people.set_active(ann, False)
    assert client.get("/api/usage").status_code == 401
