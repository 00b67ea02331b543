"""Whom files may come from."""

from __future__ import annotations

import io
import socket
from pathlib import Path
from typing import Any

import pytest
import requests
import urllib3
from requests.adapters import HTTPAdapter

from downloads_app import hosts
from downloads_app.hosts import Rules
from downloads_app.remote import look
from downloads_app.trouble import Kind, Trouble
from tests.hub import Blob, Hub

LOOPBACK = Rules(("127.0.0.1", "localhost"), ("127.0.0.1",))
PUBLIC = "8.8.8.8"


class _Unread(io.RawIOBase):
    """A body that may never end."""

    def readable(self) -> bool:
        return True

    def readinto(self, _: object) -> int:
        raise AssertionError("The body of a redirect was read.")


class Redirecting(HTTPAdapter):
    """Stands for an encrypted server: every answer of it leads to `target`."""

    def __init__(self, target: str) -> None:
        super().__init__()
        self._target = target

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        headers = {"Location": self._target}
        raw = urllib3.HTTPResponse(
            body=_Unread(), status=302, headers=headers, preload_content=False
        )
        return self.build_response(request, raw)


def leads_to(monkeypatch: pytest.MonkeyPatch, name: str, *answers: list[str]) -> None:
    """Let each look-up of `name` give the next of `answers`. Nobody is at public addresses."""
    real, left = socket.getaddrinfo, list(answers)

    def found(host: str, port: int, *args: Any, **kwargs: Any) -> list[Any]:
        if host == PUBLIC:
            raise socket.gaierror("No test leaves this machine.")
        if host != name:
            return real(host, port, *args, **kwargs)
        kind = socket.SOCK_STREAM
        return [(socket.AF_INET, kind, 6, "", (number, port)) for number in left.pop(0)]

    monkeypatch.setattr(socket, "getaddrinfo", found)


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


@pytest.mark.parametrize(
    ("to", "kind"),
    [
        ("http://localhost:{port}/x", Kind.HOST),
        ("https://example.org/x", Kind.HOST),
        ("file:///x", Kind.ADDRESS),
    ],
)
def test_a_redirect_is_judged_like_the_first_address(hub: Hub, to: str, kind: Kind) -> None:
    hub.add("owner/repo", {"x.gguf": b"x"})
    hub.elsewhere = to.format(port=hub.store_url.rpartition(":")[2])
    with hosts.session(LOOPBACK) as session, pytest.raises(Trouble) as told:
        look(session, hub.file_url("owner/repo", "x.gguf"))
    assert told.value.kind == kind
    assert hub.asked_of("store") == []


def test_a_redirect_to_a_host_that_is_not_listed_is_refused_wherever_it_lies(hub: Hub) -> None:
    """A private address may be asked only under a name that files may come from."""
    hub.add("owner/repo", {"x.gguf": b"x"})
    hub.elsewhere = hub.store_url.replace("127.0.0.1", "localhost") + "/blobs/owner/repo/x.gguf"
    rules = Rules(("127.0.0.1",), ("127.0.0.1", "localhost"))
    with hosts.session(rules) as session, pytest.raises(Trouble, match="not among") as told:
        look(session, hub.file_url("owner/repo", "x.gguf"))
    assert told.value.kind == Kind.HOST
    assert hub.asked_of("store") == []


def test_nothing_is_read_of_a_redirect_but_where_it_leads(hub: Hub) -> None:
    hub.plain["x.gguf"] = Blob(b"x")
    with hosts.session(LOOPBACK) as session:
        session.mount("http://first.test", Redirecting(f"{hub.store_url}/files/x.gguf"))
        assert look(session, "http://first.test/x.gguf").size == 1


def test_a_redirect_does_not_give_up_encryption(hub: Hub) -> None:
    hub.plain["x.gguf"] = Blob(b"x")
    with hosts.session(LOOPBACK) as session:
        session.mount("https://", Redirecting(f"{hub.store_url}/files/x.gguf"))
        with pytest.raises(Trouble, match="not encrypted") as told:
            look(session, "https://127.0.0.1/x.gguf")
    assert told.value.kind == Kind.ADDRESS
    assert hub.asked == []


def test_a_name_cannot_lead_home_once_it_was_judged(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the second look-up would give another address than the one let through."""
    leads_to(monkeypatch, "models.example", [PUBLIC], ["127.0.0.1"])
    url = hub.file_url("owner/repo", "x.gguf").replace("127.0.0.1", "models.example")
    with hosts.session(Rules(("models.example",))) as session, pytest.raises(Trouble) as told:
        look(session, url)
    assert told.value.kind == Kind.CONNECTION
    assert hub.asked == []


def test_a_connection_that_is_made_anew_asks_for_its_name_again(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    leads_to(monkeypatch, "models.example", ["127.0.0.1"], ["127.0.0.1"])
    hub.plain["x.gguf"] = Blob(b"x")
    url = f"{hub.store_url}/files/x.gguf".replace("127.0.0.1", "models.example")
    with hosts.session(Rules(("models.example",), ("models.example",))) as session:
        for _ in range(2):
            look(session, url)
    told = {asked.headers["host"].partition(":")[0] for asked in hub.asked}
    assert told == {"models.example"}


def test_every_address_of_a_name_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one is tried when nobody answers at the first."""
    leads_to(monkeypatch, "models.example", [PUBLIC, "127.0.0.1"])
    with pytest.raises(Trouble, match=r"leads to 127\.0\.0\.1") as told:
        Rules(("models.example",)).addresses("models.example", 80)
    assert told.value.kind == Kind.HOST


def test_passwords_kept_for_other_programs_are_not_sent(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password hush\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    hub.add("owner/repo", {"x.gguf": b"x"})
    with hosts.session(LOOPBACK) as session:
        look(session, hub.file_url("owner/repo", "x.gguf"))
    assert {asked.at for asked in hub.asked} == {"hub", "store"}
    assert not any("authorization" in asked.headers for asked in hub.asked)


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
