from __future__ import annotations

import time
from typing import Any

import pytest

from models_app import api_keys
from proxy_app.access_errors import TooManyGuesses
from proxy_app.first_administrator import VALID_SECONDS, Invitation
from proxy_app.keys import (
    FREE_GUESSES,
    LOCAL,
    STRANGER,
    Caller,
    Key,
    KeyRing,
    Keys,
)
from proxy_app.presented_key import presented_key, without_key

ANN = Caller("Ann", 1)


def ring(*texts: str, required: bool = True, expires_at: float | None = None) -> KeyRing:
    return KeyRing.of(
        required, (Key(bytes.fromhex(api_keys.digest_of(text)), ANN, expires_at) for text in texts)
    )


def scope(
    *headers: tuple[bytes, bytes], query: bytes = b"", host: bytes = b"localhost:5800"
) -> dict[str, Any]:
    return {
        "headers": [(b"host", host), *headers],
        "query_string": query,
        "client": ("127.0.0.1", 1),
    }


@pytest.mark.parametrize(
    "header",
    [
        (b"authorization", b"Bearer sk-one"),
        (b"authorization", b"bearer  sk-one "),
        (b"authorization", b"sk-one"),
        (b"x-api-key", b"sk-one"),
    ],
)
def test_it_knows_a_key_however_it_is_sent(header: tuple[bytes, bytes]) -> None:
    keys = Keys()
    assert keys.caller_of(scope(header), ring("sk-one")) is ANN
    assert keys.take_used(now=1.0) == {1}
    assert keys.take_used(now=100.0) == set()


def test_what_the_journal_has_need_not_be_written_down() -> None:
    keys = Keys()
    keys.caller_of(scope((b"authorization", b"Bearer sk-one")), ring("sk-one"))
    keys.leave_to_journal([0, 1, 2])
    assert keys.take_used(now=100.0) == set()


def test_what_no_journal_has_is_noted_by_itself() -> None:
    keys = Keys()
    keys.ring = ring("sk-one")
    assert keys.known(scope((b"authorization", b"Bearer sk-one"))) is ANN
    assert keys.take_used(now=0.0) == set(), "it is written down when it ends"
    keys.note_used([0, 1])
    assert keys.take_used(now=100.0) == {1}


def test_a_key_in_steady_use_is_written_down_once_a_minute() -> None:
    keys, sent = Keys(), scope((b"authorization", b"Bearer sk-one"))
    keys.caller_of(sent, ring("sk-one"))
    assert keys.take_used(now=100.0) == {1}
    keys.caller_of(sent, ring("sk-one"))
    assert keys.take_used(now=105.0) == set()
    assert keys.take_used(now=160.0) == {1}
    assert keys.take_used(now=300.0) == set()


@pytest.mark.parametrize("sent", [b"", b"Bearer", b"Bearer ", b"sk-two", b"Bearer sk-one2"])
def test_it_turns_others_away(sent: bytes) -> None:
    assert Keys().caller_of(scope((b"authorization", sent)), ring("sk-one")) is STRANGER


def test_a_wrong_authorization_is_not_made_good_by_another_header() -> None:
    headers = ((b"x-api-key", b"sk-one"), (b"authorization", b"Bearer wrong"))
    assert Keys().caller_of(scope(*headers), ring("sk-one")) is STRANGER


def test_without_need_of_a_key_a_known_one_still_tells_who_calls() -> None:
    lax = ring("sk-one", required=False)
    assert Keys().caller_of(scope((b"x-api-key", b"sk-one")), lax) is ANN
    assert Keys().caller_of(scope((b"x-api-key", b"none")), lax) is LOCAL


@pytest.mark.parametrize(
    "header",
    [
        (b"x-forwarded-for", b"127.0.0.1"),
        (b"x-forwarded-host", b"localhost"),
        (b"forwarded", b"for=127.0.0.1"),
        (b"via", b"1.1 proxy"),
        (b"x-forwarded-proto", b"http"),
        (b"x-real-ip", b"127.0.0.1"),
        (b"true-client-ip", b"127.0.0.1"),
        (b"x-original-forwarded-for", b"127.0.0.1"),
    ],
)
def test_what_came_through_a_proxy_did_not_come_from_this_machine(
    header: tuple[bytes, bytes],
) -> None:
    assert Keys().caller_of(scope(header), KeyRing()) is STRANGER


@pytest.mark.parametrize("host", [b"box.lan", b"192.168.1.2:5800", b"", b"localhost.evil.com"])
def test_another_host_name_is_not_this_machine(host: bytes) -> None:
    assert Keys().caller_of(scope(host=host), KeyRing()) is STRANGER


def test_another_machine_is_not_this_one() -> None:
    away = {**scope(), "client": ("192.168.1.9", 1)}
    assert Keys().caller_of(away, KeyRing()) is STRANGER
    assert Keys().caller_of({**scope(), "client": None}, KeyRing()) is STRANGER


@pytest.mark.parametrize("closed", [KeyRing(required=True), KeyRing(administered=True)])
def test_once_there_is_a_key_or_an_administrator_this_machine_needs_one_too(
    closed: KeyRing,
) -> None:
    assert Keys().caller_of(scope(), KeyRing()) is LOCAL
    assert Keys().caller_of(scope(), closed) is STRANGER


def test_an_expired_key_lets_nobody_in() -> None:
    sent = scope((b"x-api-key", b"sk-one"))
    assert Keys().caller_of(sent, ring("sk-one", expires_at=time.time() + 60)) is ANN
    assert Keys().caller_of(sent, ring("sk-one", expires_at=time.time() - 1)) is STRANGER


def test_the_query_counts_only_where_it_may() -> None:
    asked = scope(query=b"no-history&api_key=sk%2Done")
    assert presented_key(asked, from_query=True) == b"sk-one"
    assert presented_key(asked) == b""


def test_a_key_is_taken_out_of_a_query() -> None:
    assert without_key(b"a=1&b=2") == b"a=1&b=2"
    assert without_key(b"a=1&api_key=x&b=2") == b"a=1&b=2"
    assert without_key(b"api_key=x") == b""


def test_a_key_that_was_found_before_is_not_found_in_a_ring_without_it() -> None:
    keys = Keys()
    scope = {
        "client": ("10.0.0.1", 1),
        "headers": [(b"x-api-key", b"sk-one")],
        "query_string": b"",
    }
    one = Key(bytes.fromhex(api_keys.digest_of("sk-one")), Caller("one", 1))
    again = Key(one.digest, Caller("renamed", 1))
    other = Key(bytes.fromhex(api_keys.digest_of("sk-two")), Caller("two", 2))
    rings = (([one], "one"), ([one], "one"), ([other], ""), ([again], "renamed"), ([other], ""))
    for ring, name in rings:
        assert keys.caller_of(scope, KeyRing.of(True, ring)).name == name


def test_what_was_found_of_keys_that_are_gone_is_not_kept_for_ever() -> None:
    keys = Keys()
    for number in range(50):
        text = f"sk-{number}"
        key = Key(bytes.fromhex(api_keys.digest_of(text)), Caller(text, number))
        scope = {"headers": [(b"x-api-key", text.encode())], "query_string": b""}
        assert keys.caller_of(scope, KeyRing.of(True, [key])).name == text
    assert len(keys._digests) <= 2


def test_a_comparison_that_takes_always_as_long_has_the_last_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """How long a mismatch takes would else tell how much of a key was right."""
    compared: list[tuple[bytes, bytes]] = []

    def differ(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return False

    monkeypatch.setattr("hmac.compare_digest", differ)
    sent = scope((b"x-api-key", b"sk-one"))
    assert Keys().caller_of(sent, ring("sk-one")) is STRANGER
    digest = bytes.fromhex(api_keys.digest_of("sk-one"))
    assert compared == [(digest, digest)]


def test_so_it_has_of_the_set_up_link_while_that_is_good(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    invitation = Invitation()
    token = invitation.make()
    assert invitation.is_good(token) and not invitation.is_good(token[:-1])
    over = time.monotonic() + VALID_SECONDS
    with monkeypatch.context() as later:
        later.setattr("time.monotonic", lambda: over)
        assert not invitation.is_good(token)
    monkeypatch.setattr("secrets.compare_digest", lambda one, other: False)
    assert not invitation.is_good(token)


def test_who_tries_many_keys_waits_but_for_those_made_here() -> None:
    """A key that a person chose might be guessed; then even the right one is not told from others.

    Of IPv6, everybody has more addresses than could be counted.
    """
    made, chosen = (bytes.fromhex(api_keys.digest_of(text)) for text in ("sk-made", "chosen"))
    all_keys = KeyRing.of(True, [Key(made, ANN), Key(chosen, ANN, guessable=True)])
    keys = Keys()

    def tried(key: bytes, address: str) -> Caller:
        return keys.caller_of({**scope((b"x-api-key", key)), "client": (address, 1)}, all_keys)

    for number in range(FREE_GUESSES):
        assert tried(b"chosen", "2001:db8:0:1::1") is ANN
        assert tried(b"wrong", f"2001:db8:0:1::{number:x}") is STRANGER
    for key in (b"wrong", b"chosen"):
        with pytest.raises(TooManyGuesses):
            tried(key, "2001:db8:0:1::ffff")
    assert tried(b"sk-made", "2001:db8:0:1::ffff") is ANN
    assert tried(b"chosen", "2001:db8:0:2::1") is ANN
