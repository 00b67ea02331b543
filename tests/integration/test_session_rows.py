"""Whom a session lets in, and whom it does not any more."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from claracore_site.session_rows import SessionStore
from models_app import api_keys

pytestmark = [pytest.mark.django_db, pytest.mark.lan]


@pytest.fixture
def person() -> User:
    api_keys.require(True)
    return User.objects.create_superuser("ada", password="a long enough secret")


@pytest.fixture
def signed_in(client: Client, person: User) -> Client:
    client.force_login(person)
    assert is_let_in(client)
    return client


def is_let_in(client: Client) -> bool:
    return client.get("/admin/").status_code == 200


def test_a_session_that_ran_out_lets_nobody_in(signed_in: Client) -> None:
    Session.objects.update(expire_date=timezone.now() + timedelta(minutes=1))
    assert is_let_in(signed_in)
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
    assert not is_let_in(signed_in)


def test_who_signed_out_is_kept_out_with_the_old_cookie(signed_in: Client) -> None:
    cookie = signed_in.cookies["sessionid"].value
    signed_in.post("/ui/sign-out/")
    signed_in.cookies["sessionid"] = cookie
    assert not is_let_in(signed_in)


def test_who_was_deactivated_is_kept_out(signed_in: Client, person: User) -> None:
    User.objects.filter(pk=person.pk).update(is_active=False)
    assert not is_let_in(signed_in)


def test_who_was_removed_is_kept_out(signed_in: Client, person: User) -> None:
    person.delete()
    assert not is_let_in(signed_in)


def test_a_new_password_ends_the_sessions_of_the_old_one(signed_in: Client, person: User) -> None:
    person.set_password("another long secret")
    person.save()
    assert not is_let_in(signed_in)


def test_a_session_that_was_meddled_with_holds_nothing(signed_in: Client) -> None:
    data = Session.objects.get().session_data
    middle = -10  # The signature is at the end.
    other = "A" if data[middle] != "A" else "B"
    Session.objects.update(session_data=data[:middle] + other + data[middle + 1 :])
    assert not is_let_in(signed_in)


def test_a_key_that_nobody_was_given_is_not_kept() -> None:
    session = SessionStore("made-up-by-a-stranger")
    assert dict(session.items()) == {}
    assert session.session_key is None
