"""Ids of requests."""

from __future__ import annotations

import pytest

from proxy_app.request_ids import LONGEST, brought


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
