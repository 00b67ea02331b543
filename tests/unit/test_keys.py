from __future__ import annotations

import time
from typing import Any

import pytest

from models_app import api_keys
from proxy_app.errors import KeyRequired
from proxy_app.keys import ANYBODY, Caller, Key, KeyRing, Keys, presented_key, without_key

ANN = Caller("Ann", 1)


def ring(*texts: str, required: bool = True, expires_at: float | None = None) -> KeyRing:
    return KeyRing.of(
        required, (Key(bytes.fromhex(api_keys.digest_of(text)), ANN, expires_at) for text in texts)
    )


def scope(*headers: tuple[bytes, bytes], query: bytes = b"") -> dict[str, Any]:
    return {"headers": list(headers), "query_string": query}


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
    assert keys.take_used() == {1}
    assert keys.take_used() == set()


@pytest.mark.parametrize("sent", [b"", b"Bearer", b"Bearer ", b"sk-two", b"Bearer sk-one2"])
def test_it_turns_others_away(sent: bytes) -> None:
    with pytest.raises(KeyRequired):
        Keys().caller_of(scope((b"authorization", sent)), ring("sk-one"))


def test_a_wrong_authorization_is_not_made_good_by_another_header() -> None:
    headers = ((b"x-api-key", b"sk-one"), (b"authorization", b"Bearer wrong"))
    with pytest.raises(KeyRequired):
        Keys().caller_of(scope(*headers), ring("sk-one"))


def test_without_need_of_a_key_a_known_one_still_tells_who_calls() -> None:
    lax = ring("sk-one", required=False)
    assert Keys().caller_of(scope((b"x-api-key", b"sk-one")), lax) is ANN
    assert Keys().caller_of(scope((b"x-api-key", b"none")), lax) is ANYBODY


def test_an_expired_key_lets_nobody_in() -> None:
    sent = scope((b"x-api-key", b"sk-one"))
    assert Keys().caller_of(sent, ring("sk-one", expires_at=time.time() + 60)) is ANN
    with pytest.raises(KeyRequired):
        Keys().caller_of(sent, ring("sk-one", expires_at=time.time() - 1))


def test_the_query_counts_only_where_it_may() -> None:
    asked = scope(query=b"no-history&api_key=sk%2Done")
    assert presented_key(asked, from_query=True) == b"sk-one"
    assert presented_key(asked) == b""


def test_a_key_is_taken_out_of_a_query() -> None:
    assert without_key(b"a=1&b=2") == b"a=1&b=2"
    assert without_key(b"a=1&api_key=x&b=2") == b"a=1&b=2"
    assert without_key(b"api_key=x") == b""
