"""The pages on keys, usage and people as a browser without JavaScript gets them."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from models_app import api_keys, people
from models_app.models import ApiKey, AuditEntry, PersonLimits, ServedModel
from models_app.rights import Role, Scope
from proxy_app.models import UsageDay

pytestmark = pytest.mark.django_db

KEYS = "/ui/keys/"
PEOPLE = "/ui/keys/people/"
USAGE = "/ui/keys/usage/"
PASSWORD = "correct horse 9"


@pytest.fixture
def root() -> User:
    return people.create("root", PASSWORD, Role.ADMINISTRATOR)


@pytest.fixture
def ulla(root: User) -> User:
    return people.create("ulla", PASSWORD, Role.USER)


def as_person(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def read(client: Client, path: str) -> str:
    reply = client.get(path)
    assert reply.status_code == 200
    return reply.content.decode()


def used(person: User, key: ApiKey | None = None, tokens: int = 10) -> None:
    UsageDay.objects.create(
        start=timezone.now().replace(hour=0, minute=0, second=0, microsecond=0),
        model="fox",
        person_id=person.pk,
        key_id=key.pk if key else 0,
        requests=1,
        tokens_in=tokens,
        tokens_out=2 * tokens,
        gpu_seconds=1.5,
    )


# ---- Keys --------------------------------------------------------------------------------------


def test_a_key_is_shown_once_and_works_within_its_limits(ulla: User) -> None:
    ServedModel.objects.create(model_id="fox", cmd="run ${PORT}")
    client = as_person(ulla)
    sent = {
        "name": "notebook",
        "scopes": ["inference"],
        "allowed_models": ["fox"],
        "tokens_per_day": "5000",
        "queue_share": "1",
        "expires_at": "2100-01-01T00:00",
    }
    made = client.post(KEYS, sent)
    assert made.status_code == 200
    assert "no-store" in made["Cache-Control"]
    found = re.search(r'id="made-key">(sk-[^<]+)<', made.content.decode())
    assert found is not None
    row = ApiKey.objects.get()
    assert row.digest == api_keys.digest_of(found[1])
    assert (row.person, row.tokens_per_day, row.allowed_models) == (ulla, 5000, ["fox"])
    again = read(client, KEYS)
    assert "notebook" in again
    assert found[1] not in again
    assert not AuditEntry.objects.filter(after__icontains=found[1]).exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scopes": ["admin"]}, "Select a valid choice"),
        ({"expires_at": "2001-01-01T00:00"}, "That is over."),
        ({"name": ""}, "This field is required."),
        ({"tokens_per_day": "0"}, "greater than or equal to 1"),
    ],
)
def test_what_a_key_cannot_be_is_said_at_its_field(
    ulla: User, changes: dict[str, str], words: str
) -> None:
    sent = {"name": "mine", "scopes": ["inference"], "queue_share": "1", **changes}
    reply = as_person(ulla).post(KEYS, sent)
    assert reply.status_code == 422
    assert words in reply.content.decode()
    assert not ApiKey.objects.exists()


def test_a_user_sees_and_revokes_their_own_keys_alone(ulla: User, root: User) -> None:
    own, _ = api_keys.create("ulla's", person=ulla)
    other, _ = api_keys.create("root's", person=root)
    client = as_person(ulla)
    text = read(client, KEYS)
    assert "ulla&#x27;s" in text
    assert "root&#x27;s" not in text
    assert client.get(f"{KEYS}{other.pk}/").status_code == 404
    assert client.post(f"{KEYS}{other.pk}/revoke/").status_code == 404
    assert client.post(f"{KEYS}{own.pk}/revoke/").status_code == 302
    own.refresh_from_db()
    assert own.revoked_at is not None


def test_a_user_renames_a_key_and_does_not_raise_its_limits(ulla: User) -> None:
    row, _ = api_keys.create("old", person=ulla, tokens_per_day=10)
    client = as_person(ulla)
    client.post(f"{KEYS}{row.pk}/", {"name": "new", "tokens_per_day": "1000000"})
    row.refresh_from_db()
    assert (row.name, row.tokens_per_day) == ("new", 10)


def test_an_administrator_changes_everybody_s_keys(ulla: User, root: User) -> None:
    row, _ = api_keys.create("old", person=ulla)
    sent = {
        "name": "old",
        "person": str(ulla.pk),
        "scopes": ["inference"],
        "tokens_per_day": "7",
        "queue_share": "2",
    }
    client = as_person(root)
    assert client.post(f"{KEYS}{row.pk}/", sent).status_code == 302
    row.refresh_from_db()
    assert (row.tokens_per_day, row.queue_share) == (7, 2)
    refused = client.post(f"{KEYS}{row.pk}/", {**sent, "scopes": ["admin"]})
    assert "cannot grant admin" in refused.content.decode()


def test_whoever_sits_at_this_machine_makes_keys_of_the_server_s_own(client: Client) -> None:
    sent = {"name": "cron", "scopes": ["inference", "manage"], "queue_share": "1"}
    assert client.post(KEYS, sent).status_code == 200
    assert ApiKey.objects.get().person is None
    assert "the server" in read(client, KEYS)


def test_keys_are_found_by_name_person_and_beginning(root: User, ulla: User) -> None:
    mine, _ = api_keys.create("laptop", person=ulla)
    api_keys.create("phone", person=root)
    client = as_person(root)
    for words in ("lap", "ULLA", mine.prefix):
        text = read(client, f"{KEYS}?q={words}")
        assert "laptop" in text
        assert ">phone<" not in text


# ---- Usage -------------------------------------------------------------------------------------


def test_everybody_sees_what_they_used_and_nothing_else(ulla: User, root: User) -> None:
    key, _ = api_keys.create("laptop", person=ulla)
    used(ulla, key, 11)
    used(root, None, 500)
    text = read(as_person(ulla), USAGE)
    assert ">11<" in text
    assert "laptop" in text
    assert "511" not in text
    assert "By person" not in text
    everything = read(as_person(root), USAGE)
    assert ">511<" in everything
    assert "By person" in everything


def test_usage_of_a_key_and_of_a_person_stands_on_their_pages(ulla: User, root: User) -> None:
    key, _ = api_keys.create("laptop", person=ulla)
    used(ulla, key, 1234)
    assert "1,234" in read(as_person(ulla), f"{KEYS}{key.pk}/")
    assert "1,234" in read(as_person(root), f"{PEOPLE}{ulla.pk}/")
    UsageDay.objects.update(start=timezone.now() - timedelta(days=60))
    assert "1,234" not in read(as_person(ulla), USAGE)
    assert "1,234" in read(as_person(ulla), f"{USAGE}?period=90d")


def test_what_is_left_of_a_quota_stands_on_the_key_s_page_and_in_the_api(ulla: User) -> None:
    key, secret = api_keys.create("cut", person=ulla, tokens_per_day=5000, tokens_per_month=9000)
    free, _ = api_keys.create("free", person=ulla)
    used(ulla, key, 1234)
    text = read(as_person(ulla), f"{KEYS}{key.pk}/")
    assert "1,298 left today" in text
    assert "5,298 left this month" in text
    client = Client(SERVER_NAME="localhost", headers={"X-API-Key": secret})
    for told in (client.get("/api/me").json()["key"], client.get(f"/api/keys/{key.pk}").json()):
        assert (told["tokensLeftToday"], told["tokensLeftThisMonth"]) == (1298, 5298)
    rows = as_person(ulla).get("/api/keys").json()["keys"]
    assert {row["id"]: row["tokensLeftToday"] for row in rows} == {key.pk: 1298, free.pk: None}
    used_up = UsageDay.objects.get()
    used_up.tokens_in = 10_000
    used_up.save()
    assert "0 left today" in read(as_person(ulla), f"{KEYS}{key.pk}/")


# ---- People ------------------------------------------------------------------------------------


def test_people_are_for_administrators(ulla: User) -> None:
    client = as_person(ulla)
    for path in (PEOPLE, f"{PEOPLE}{ulla.pk}/"):
        assert client.get(path).status_code == 403
    assert PEOPLE not in read(client, KEYS)


def test_an_account_is_made_and_can_sign_in(root: User) -> None:
    client = as_person(root)
    sent = {"name": "cleo", "role": "curator", "password": PASSWORD, "again": PASSWORD}
    assert client.post(PEOPLE, sent).status_code == 302
    assert people.role_of(User.objects.get(username="cleo")) is Role.CURATOR
    assert Client().login(username="cleo", password=PASSWORD)
    reply = client.post(PEOPLE, sent)
    assert reply.status_code == 422
    assert "There is somebody called cleo already" in reply.content.decode()


def test_a_role_is_changed_and_the_last_administrator_stays(ulla: User, root: User) -> None:
    client = as_person(root)
    client.post(f"{PEOPLE}{ulla.pk}/act/", {"set_role": "1", "role": "curator"})
    ulla.refresh_from_db()
    assert people.role_of(ulla) is Role.CURATOR
    for act in ({"set_role": "1", "role": "user"}, {"keep_out": "1"}, {"remove": "1"}):
        reply = client.post(f"{PEOPLE}{root.pk}/act/", act, follow=True)
        assert "root is the only administrator" in reply.content.decode()
    root.refresh_from_db()
    assert root.is_superuser
    assert root.is_active


def test_somebody_is_kept_out_let_in_and_removed(ulla: User, root: User) -> None:
    client, theirs = as_person(root), as_person(ulla)
    client.post(f"{PEOPLE}{ulla.pk}/act/", {"keep_out": "1"})
    assert theirs.get(KEYS).status_code == 302
    client.post(f"{PEOPLE}{ulla.pk}/act/", {"let_in": "1"})
    assert theirs.get(KEYS).status_code == 200
    client.post(f"{PEOPLE}{ulla.pk}/act/", {"remove": "1"})
    assert not User.objects.filter(username="ulla").exists()


def test_a_new_password_signs_somebody_out(ulla: User, root: User) -> None:
    theirs, client = as_person(ulla), as_person(root)
    bad = client.post(f"{PEOPLE}{ulla.pk}/", {"password": "12345678", "again": "12345678"})
    assert bad.status_code == 422
    new = "battery staple 7"
    client.post(f"{PEOPLE}{ulla.pk}/", {"password": new, "again": new})
    assert theirs.get(KEYS).status_code == 302
    assert Client().login(username="ulla", password=new)
    assert not AuditEntry.objects.filter(after__icontains=new).exists()


def test_activity_offers_people_their_own_keys(ulla: User, root: User) -> None:
    api_keys.create("laptop", person=ulla)
    api_keys.create("secret project", person=root, scopes=[str(Scope.INFERENCE)])
    text = read(as_person(ulla), "/ui/activity/")
    assert "laptop" in text
    assert "secret project" not in text


# ---- Limits of people --------------------------------------------------------------------------


def test_an_administrator_limits_a_person_and_they_see_it(ulla: User, root: User) -> None:
    ServedModel.objects.create(model_id="fox", cmd="x ${PORT}")
    ServedModel.objects.create(model_id="sea", cmd="x ${PORT}")
    page = f"{PEOPLE}{ulla.pk}/"
    limits = {"set_limits": "1", "tokens_per_day": "5000", "allowed_models": ["sea"]}
    assert (
        "their keys together"
        in as_person(root).post(f"{page}act/", limits, follow=True).content.decode()
    )
    assert re.search(r'name="tokens_per_day" value="5000"', read(as_person(root), page))
    own = read(as_person(ulla), KEYS)
    assert 'value="sea"' in own and "fox" not in own
    assert "Your limits" in own and "5,000" in own.replace("\u202f", ",").replace("\u2009", ",")
    models = read(as_person(ulla), "/ui/models/")
    assert ">sea<" in models and ">fox<" not in models
    fox = ServedModel.objects.get(model_id="fox")
    assert as_person(ulla).get(f"/ui/models/{fox.pk}/").status_code == 404
    as_person(root).post(f"{page}act/", {"set_limits": "1"})
    assert "Your limits" not in read(as_person(ulla), KEYS)
    assert ">fox<" in read(as_person(ulla), "/ui/models/")


def test_a_limit_that_cannot_be_is_said(ulla: User, root: User) -> None:
    sent = {"set_limits": "1", "tokens_per_day": "0"}
    reply = as_person(root).post(f"{PEOPLE}{ulla.pk}/act/", sent, follow=True)
    assert "Tokens a day: " in reply.content.decode()
    assert not PersonLimits.objects.exists()


def test_the_admin_limits_a_person(ulla: User, root: User) -> None:
    page = f"/admin/auth/user/{ulla.pk}/change/"
    form = {"username": "ulla", "role": "user", "is_active": "on", "limits-TOTAL_FORMS": "1"}
    form |= {"limits-INITIAL_FORMS": "0", "limits-0-person": str(ulla.pk)}
    reply = as_person(root).post(page, {**form, "limits-0-parallel_requests": "3"})
    assert reply.status_code == 302, reply.content.decode()
    assert PersonLimits.objects.get().parallel_requests == 3
    noted = AuditEntry.objects.filter(kind="people").latest("pk")
    assert noted.after == {"ulla": {"limits": {"parallel_requests": 3}}}
