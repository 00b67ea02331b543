"""Keys, people, usage and the audit log over REST."""

from __future__ import annotations

import csv
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from models_app import api_keys, people
from models_app.models import ApiKey, AuditEntry
from models_app.rights import Role
from proxy_app.models import UsageDay
from tests.integration.api.conftest import Api

pytestmark = pytest.mark.django_db

As = Callable[..., Api]
SYSTEM = "/api/settings/system"


@pytest.fixture
def root() -> User:
    return people.create("root", "correct horse 9", Role.ADMINISTRATOR)


@pytest.fixture
def ann(root: User) -> User:
    return people.create("ann", "correct horse 9", Role.USER)


def as_person(user: User) -> Api:
    client = Client(SERVER_NAME="localhost")
    client.force_login(user)
    return Api(client)


def with_key(key: str) -> Api:
    return Api(Client(SERVER_NAME="localhost", headers={"X-API-Key": key}))


def test_a_key_is_told_once_and_works(ann: User) -> None:
    api = as_person(ann)
    made = api("post", "/api/keys", {"name": "laptop", "tokensPerDay": 1000})
    assert made["key"].startswith(made["prefix"]) and made["state"] == "valid"
    assert (made["scopes"], made["tokensPerDay"]) == (["inference"], 1000)
    listed = api("get", "/api/keys")["keys"]
    assert [row["name"] for row in listed] == ["laptop"]
    assert made["key"] not in str(listed)
    told = with_key(made["key"])("get", "/api/me")
    assert (told["person"], told["scopes"], told["key"]["id"]) == (
        ann.pk,
        ["inference"],
        made["id"],
    )
    api("delete", f"/api/keys/{made['id']}")
    with_key(made["key"])("get", "/api/me", status=401)


def test_somebody_sees_and_touches_their_own_keys_only(ann: User, root: User) -> None:
    other, _ = api_keys.create("root's", person=root)
    api = as_person(ann)
    assert api("get", "/api/keys")["keys"] == []
    api("get", f"/api/keys/{other.pk}", status=404)
    api("delete", f"/api/keys/{other.pk}", status=404)
    assert len(as_person(root)("get", "/api/keys")["keys"]) == 1
    made = api("post", "/api/keys", {"name": "mine", "person": root.pk})
    assert made["person"] == ann.pk


def test_nobody_takes_more_than_they_have(ann: User, root: User) -> None:
    api = as_person(ann)
    api("post", "/api/keys", {"name": "all", "scopes": ["admin"]}, status=400)
    row, key = api_keys.create("limited", person=ann, requests_per_minute=5)
    api("patch", f"/api/keys/{row.pk}", {"requestsPerMinute": 5000}, status=403)
    api("patch", f"/api/keys/{row.pk}", {"name": "renamed"})
    with_key(key)("post", "/api/keys", {"name": "another"}, status=403)
    as_person(root)("patch", f"/api/keys/{row.pk}", {"requestsPerMinute": None})
    assert ApiKey.objects.get().requests_per_minute is None


def test_nobody_puts_their_own_keys_before_those_of_others(ann: User, root: User) -> None:
    api, form = as_person(ann), Client(SERVER_NAME="localhost")
    for chosen in ({"priority": 1000}, {"queueShare": 16}):
        refused = api("post", "/api/keys", {"name": "first", **chosen}, status=403)
        assert refused["code"] == "NOT_ALLOWED"
    plain = {"name": "plain", "priority": None, "queueShare": 1}
    assert api("post", "/api/keys", plain)["priority"] is None
    form.force_login(ann)
    sent = {"scopes": ["inference"], "priority": "1000", "queue_share": "16"}
    form.post("/ui/keys/", {"name": "by page", **sent})
    form.post("/admin/models_app/apikey/add/", {"name": "by admin", **sent})
    rows = ApiKey.objects.values_list("name", "priority", "queue_share").order_by("pk")
    assert list(rows) == [("plain", None, 1), ("by page", None, 1), ("by admin", None, 1)]
    made = as_person(root)("post", "/api/keys", {"name": "x", "priority": 5, "queueShare": 2})
    assert (made["priority"], made["queueShare"]) == (5, 2)


def test_a_key_that_was_stolen_ends_itself_alone(ann: User) -> None:
    other, _ = api_keys.create("other", person=ann)
    row, key = api_keys.create("stolen", person=ann)
    api = with_key(key)
    assert [one["id"] for one in api("get", "/api/keys")["keys"]] == [row.pk]
    api("delete", f"/api/keys/{other.pk}", status=404)
    api("patch", f"/api/keys/{other.pk}", {"name": "mine"}, status=404)
    assert api("delete", f"/api/keys/{row.pk}")["state"] == "revoked"
    assert ApiKey.objects.get(pk=other.pk).revoked_at is None


def test_administrators_make_change_and_remove_people(root: User) -> None:
    api = as_person(root)
    made = api("post", "/api/people", {"name": "ben", "password": "correct horse 9"})
    assert (made["role"], made["active"]) == ("user", True)
    api("post", "/api/people", {"name": "BEN", "password": "correct horse 9"}, status=400)
    api("post", "/api/people", {"name": "eve", "password": "12345678"}, status=400)
    place = f"/api/people/{made['id']}"
    assert api("patch", place, {"role": "curator", "active": False})["role"] == "curator"
    api("patch", f"/api/people/{root.pk}", {"role": "user"}, status=400)
    assert [one["name"] for one in api("get", "/api/people")["people"]] == ["ben", "root"]
    api("delete", place)
    api("get", place, status=404)


def test_an_account_is_changed_wholly_or_not_at_all(root: User, ann: User) -> None:
    """What is refused is no act in the audit log, so nothing of it may stay."""
    changes = {"role": "administrator", "active": False, "password": "short"}
    as_person(root)("patch", f"/api/people/{ann.pk}", changes, status=400)
    ann.refresh_from_db()
    assert (people.role_of(ann), ann.is_active) == (Role.USER, True)


def test_others_have_no_business_with_people_or_the_audit_log(ann: User) -> None:
    api = as_person(ann)
    for path in ("/api/people", "/api/audit", f"/api/people/{ann.pk}"):
        api("get", path, status=403)
    api("post", "/api/people", {"name": "x", "password": "correct horse 9"}, status=403)
    assert User.objects.count() == 2


def test_the_audit_log_tells_who_did_what_before_and_after(root: User) -> None:
    api = as_person(root)
    api("post", SYSTEM, {"preferredContext": 8192})
    made = api("post", "/api/keys", {"name": "laptop"})
    api("patch", f"/api/keys/{made['id']}", {"tokensPerDay": 5})
    api("post", SYSTEM, {"apiKey": "sesame-opens"})
    acts = api("get", "/api/audit")["acts"]
    assert {act["who"] for act in acts} == {"root"}
    settings = next(act for act in acts if act["kind"] == "settings")
    assert settings["before"] == {"preferred_context": 32768}
    assert settings["after"] == {"preferred_context": 8192}
    changed = [act for act in acts if act["what"] == f"PATCH /api/keys/{made['id']}"]
    assert [list(act["after"].values()) for act in changed] == [[{"tokens_per_day": 5}]]
    whole = str(AuditEntry.objects.values())
    assert made["key"] not in whole and "sesame-opens" not in whole
    assert len(api("get", "/api/audit?kind=keys")["acts"]) == 3
    page = api("get", "/api/audit?limit=1")
    following = api("get", f"/api/audit?limit=1&cursor={page['next']}")
    assert following["acts"][0]["id"] < page["acts"][0]["id"]


def test_a_dry_run_and_a_refused_act_are_no_acts(root: User) -> None:
    api = as_person(root)
    api("post", SYSTEM + "?dry_run=1", {"preferredContext": 8192})
    api("post", SYSTEM, {"preferredContext": "many"}, status=400)
    assert not AuditEntry.objects.exists()


def test_an_act_is_noted_whatever_its_address_says_of_dry_runs(root: User) -> None:
    """Only a view that did nothing may keep its request out of the log."""
    api, token = as_person(root), "/api/settings/hf-api-key"
    ann = people.create("ann", "correct horse 9", Role.USER)
    api("patch", f"/api/people/{ann.pk}?dry_run=1", {"password": "opens-many-doors"})
    api("post", f"{token}?dry_run=1", {"apiKey": "hf_tried"})
    api("post", f"{token}?dry_run=0", {"apiKey": "hf_kept"})
    acts = AuditEntry.objects.order_by("pk").values_list("what", flat=True)
    assert list(acts) == [f"PATCH /api/people/{ann.pk}", f"POST {token}"]


def test_who_is_sent_to_sign_in_has_done_nothing(root: User) -> None:
    _, key = api_keys.create("script", person=root, scopes=["admin"])
    for path in ("/admin/models_app/modelgroup/add/", "/admin/models_app/servedmodel/"):
        assert with_key(key).client.post(path, {"name": "big"}).status_code == 302
    assert not AuditEntry.objects.exists()


def test_an_act_that_leaves_no_choice_behind_is_noted_too(root: User) -> None:
    as_person(root)("post", "/api/config/cleanup-duplicates")
    assert AuditEntry.objects.get().what == "POST /api/config/cleanup-duplicates"


def usage(person: int, key: int, model: str, requests: int) -> None:
    UsageDay.objects.create(
        start=timezone.now().replace(hour=0, minute=0, second=0, microsecond=0),
        model=model,
        person_id=person,
        key_id=key,
        requests=requests,
        tokens_in=requests,
        tokens_out=requests,
        gpu_seconds=requests / 2,
    )


def test_usage_is_told_by_key_person_and_model(root: User, ann: User) -> None:
    row, _ = api_keys.create("laptop", person=ann)
    usage(ann.pk, row.pk, "fox", 3)
    usage(ann.pk, 0, "sea", 4)
    usage(root.pk, 0, "fox", 5)
    api = as_person(root)

    def told(by: str, name: str) -> dict[Any, int]:
        rows = api("get", f"/api/usage?by={by}")["rows"]
        return {row[name]: row["requests"] for row in rows}

    assert told("person", "personName") == {"ann": 7, "root": 5}
    assert told("model", "model") == {"fox": 8, "sea": 4}
    assert told("key", "keyName") == {"laptop": 3, "": 9}
    assert len(api("get", "/api/usage?by=day")["rows"]) == 3
    ann_used = api("get", "/api/usage?by=model&person=ann")["total"]
    assert (ann_used["requests"], ann_used["gpuSeconds"]) == (7, 3.5)
    sheet = api.client.get("/api/usage?by=model&format=csv").content.decode()
    rows = [
        (row["model"], row["requests"], row["tokensOut"], row["gpuSeconds"])
        for row in csv.DictReader(sheet.splitlines())
    ]
    assert rows == [("fox", "8", "8", "4.0"), ("sea", "4", "4", "2.0")]


def test_somebody_sees_their_own_usage_only(root: User, ann: User) -> None:
    usage(ann.pk, 0, "fox", 3)
    usage(root.pk, 0, "fox", 5)
    assert as_person(ann)("get", "/api/usage")["total"]["requests"] == 3
    sheet = as_person(ann).client.get("/api/usage?by=person&format=csv").content.decode()
    assert "ann" in sheet and "root" not in sheet


def test_a_key_of_nobody_sees_what_it_used_itself(root: User) -> None:
    row, key = api_keys.create("script")
    usage(0, row.pk, "fox", 2)
    usage(0, 0, "fox", 9)
    assert with_key(key)("get", "/api/usage")["total"]["requests"] == 2


def test_the_shared_key_is_an_administrators_and_other_saves_never_touch_it(api: Api) -> None:
    """S3, S4: saving other settings erased the key, and nobody needed it to turn it off."""
    api("post", SYSTEM, {"requireApiKey": True, "apiKey": "sesame-opens"})
    for attempt in ({"requireApiKey": False}, {"apiKey": "mine-now"}):
        api("post", SYSTEM, attempt, status=401)
    _, small = api_keys.create("small")
    with_key(small)("post", SYSTEM, {"requireApiKey": False}, status=403)
    owner = with_key("sesame-opens")
    owner(
        "post", SYSTEM, {"enableJinja": False, "throughputFirst": False, "preferredContext": 2048}
    )
    for toggle in ({"requireApiKey": False}, {"requireApiKey": True}):
        owner("post", SYSTEM, toggle)
        kept = owner("get", SYSTEM)["settings"]
        assert (kept["enableJinja"], kept["throughputFirst"]) == (False, False)
        assert kept["preferredContext"] == 2048
    for save in ({"preferredContext": 8192}, {"requireApiKey": True}, {"enableJinja": False}):
        owner("post", SYSTEM, save)
    assert owner("get", SYSTEM)["settings"]["requireApiKey"] is True
    owner("post", SYSTEM, {"requireApiKey": False})
    assert api_keys.has_shared()
