"""Whom files may come from."""

from __future__ import annotations

import pytest
import requests

from downloads_app import hosts
from downloads_app.hosts import Rules
from downloads_app.remote import look
from downloads_app.trouble import Kind, Trouble
from tests.hub import Hub

LOOPBACK = Rules(("127.0.0.1", "localhost"), ("127.0.0.1",))


@pytest.mark.parametrize(
    "url",
    [
        "https://huggingface.co/a/b/resolve/main/c.gguf",
        "https://cdn-lfs.hf.co/x",
        "https://cas-bridge.xethub.hf.co/x",
    ],
)
def test_the_hub_and_its_stores_are_allowed(url: str) -> None:
    Rules().check(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/x",
        "https://evilhuggingface.co/x",
        "https://huggingface.co.example.org/x",
        "http://127.0.0.1/x",
        "http://169.254.169.254/latest",
        "file:///etc/passwd",
        "https:///x",
        "https://user:secret@huggingface.co/x",
        "https://huggingface.co:99999/x",
    ],
)
def test_everything_else_is_refused(url: str) -> None:
    with pytest.raises(Trouble):
        Rules().check(url)


def test_a_public_name_that_leads_home_is_refused(hub: Hub) -> None:
    """`localhost` stands for any name whose address is private."""
    url = hub.url.replace("127.0.0.1", "localhost")
    with hosts.session(LOOPBACK) as session, pytest.raises(Trouble, match="not an address") as told:
        look(session, f"{url}/owner/repo/resolve/main/x.gguf")
    assert told.value.kind == Kind.HOST
    assert hub.asked == []


@pytest.mark.parametrize("to", ["http://localhost:{port}/x", "https://example.org/x", "file:///x"])
def test_a_redirect_is_judged_like_the_first_address(hub: Hub, to: str) -> None:
    hub.add("owner/repo", {"x.gguf": b"x"})
    hub.elsewhere = to.format(port=hub.store_url.rpartition(":")[2])
    with hosts.session(LOOPBACK) as session, pytest.raises(Trouble):
        look(session, hub.file_url("owner/repo", "x.gguf"))
    assert hub.asked_of("store") == []


@pytest.mark.parametrize(
    "number",
    [
        *("10.0.0.1", "192.168.1.1", "::1", "fe80::1", "::ffff:127.0.0.1", "0.0.0.0", "100.64.0.1"),
        *("192.0.0.8", "fec0::1", "64:ff9b::a00:1", "64:ff9b:1::a00:1", "2002:a00:1::1", "ff0e::1"),
    ],
)
def test_addresses_of_local_networks_are_not_public(number: str) -> None:
    with pytest.raises(Trouble):
        Rules((number,)).addresses(number, 80)


@pytest.mark.parametrize("number", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_the_internet_is_public_also_behind_a_translator(number: str) -> None:
    assert Rules((number,)).addresses(number, 80) == [number]


def test_a_name_that_does_not_exist_is_a_lost_connection() -> None:
    rules = Rules(("no-such-host.invalid",))
    with hosts.session(rules) as session, pytest.raises(Trouble) as told:
        look(session, "http://no-such-host.invalid/x")
    assert told.value.kind == Kind.CONNECTION


def test_an_allowed_host_is_asked(hub: Hub) -> None:
    hub.add("owner/repo", {"x.gguf": b"x"})
    with hosts.session(LOOPBACK) as session:
        remote = look(session, hub.file_url("owner/repo", "x.gguf"))
    assert (remote.size, remote.secret) == (1, False)
    assert isinstance(session, requests.Session)
