"""Ids of requests."""

from __future__ import annotations

import pytest

from proxy_app.request_ids import LONGEST, brought, ours


@pytest.mark.parametrize(
    ("value", "taken"),
    [
        (b"trace-1.2_3", b"trace-1.2_3"),
        (b"", b""),
        (b"x" * LONGEST, b"x" * LONGEST),
        (b"x" * (LONGEST + 1), b""),
        ("ü".encode(), b""),
    ],
)
def test_a_client_may_bring_an_id_that_fits(value: bytes, taken: bytes) -> None:
    assert brought([(b"accept", b"*/*"), (b"x-request-id", value)]) == taken
    assert brought([]) == b""


def test_ours_ends_in_the_number_and_is_one_that_may_be_brought_back() -> None:
    assert ours(7).endswith(b"-7")
    assert brought([(b"x-request-id", ours(7))]) == ours(7)
