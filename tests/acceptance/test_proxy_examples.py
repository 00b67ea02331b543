"""deploy/nginx.conf and deploy/Caddyfile, run as they are but for ports and certificates."""

from __future__ import annotations

import json
import re
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import requests
import yaml
from websockets.sync.client import connect

from tests.management import in_home
from tests.server import ROOT, RunningServer, free_port, running_server, wait_until

pytestmark = pytest.mark.engine

NAME: Final = "llm.example.lan"
PROXY: Final = "127.0.0.1"
CLIENT: Final = "127.0.0.9"
STRANGER: Final = "127.0.0.8"
FORGED: Final = "10.9.8.7"


@dataclass
class Proxy:
    """A proxy in front of the server: its port, and the certificate to trust."""

    port: int
    certificate: Path

    def client(self) -> httpx.Client:
        trust = ssl.create_default_context(cafile=str(self.certificate))
        way = httpx.HTTPTransport(verify=trust, local_address=CLIENT)
        base = f"https://{PROXY}:{self.port}"
        return httpx.Client(base_url=base, transport=way, headers={"Host": NAME}, timeout=120)


SNI: Final = {"sni_hostname": NAME}


@pytest.fixture(scope="module")
def server(
    models_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    config = tmp_path_factory.mktemp("config") / "config.yaml"
    echo = {
        "cmd": f"{sys.executable} -m tests.echo_engine ${{PORT}}",
        "env": [f"PYTHONPATH={ROOT}"],
        "checkEndpoint": "/",
    }
    config.write_text(yaml.safe_dump({"models": {"echo": echo}}))
    env = {"CLARACORE_TRUSTED_PROXIES": PROXY, "CLARACORE_ALLOWED_HOSTS": NAME}
    env["CLARACORE_ADMIN_PASSWORD"] = "correct horse battery"
    with running_server(models_folder, arguments=["--config", str(config)], env=env) as running:
        yield running


@pytest.fixture(scope="module")
def keyed(server: RunningServer) -> dict[str, str]:
    """Whoever comes through a proxy is nobody without a key."""
    make = "from models_app import api_keys; from models_app.rights import Scope;"
    make += "print(api_keys.create('all', scopes=list(map(str, Scope)))[1])"
    keyed = {"Authorization": f"Bearer {in_home(server.home, make).strip()}"}

    def listed() -> str:
        return requests.get(f"{server.url}/v1/models", headers=keyed, timeout=30).text

    wait_until(lambda: "endless" in listed() and "echo" in listed(), "the models", server.said)
    return keyed


@pytest.fixture(scope="module", params=["nginx", "caddy"])
def proxy(
    request: pytest.FixtureRequest,
    server: RunningServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Proxy]:
    start = {"nginx": nginx, "caddy": caddy}[request.param]
    with start(server, tmp_path_factory.mktemp(request.param)) as running:
        yield running


@contextmanager
def nginx(server: RunningServer, folder: Path) -> Iterator[Proxy]:
    certificate, key, port = folder / "name.pem", folder / "name.key", free_port()
    making = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    making += ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"]
    subprocess.run(
        [*making, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True
    )
    example = (ROOT / "deploy/nginx.conf").read_text()
    example = changed(example, "listen 443 ssl", f"listen {PROXY}:{port} ssl")
    example = changed(example, "/etc/ssl/certs/llm.example.lan.pem", str(certificate))
    example = changed(example, "/etc/ssl/private/llm.example.lan.key", str(key))
    example = changed(example, "127.0.0.1:5800", server.url.removeprefix("http://"))
    ways = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    # What nginx's own file has around the files of sites.
    around = f"daemon off;\npid {folder}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n{ways}"
    (folder / "nginx.conf").write_text(around + example + "}\n")
    words = ["nginx", "-e", str(folder / "log"), "-c", str(folder / "nginx.conf")]
    with running(words, port, folder):
        yield Proxy(port, certificate)


@contextmanager
def caddy(server: RunningServer, folder: Path) -> Iterator[Proxy]:
    port = free_port()
    example = (ROOT / "deploy/Caddyfile").read_text()
    example = changed(example, f"{NAME} {{", f"https://{NAME}:{port} {{\n\tbind {PROXY}")
    example = changed(example, "127.0.0.1:5800", server.url.removeprefix("http://"))
    ways = (
        f"admin off\nskip_install_trust\nauto_https disable_redirects\nstorage file_system {folder}"
    )
    (folder / "Caddyfile").write_text(f"{{\n{ways}\n}}\n{example}")
    words = ["caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]
    root = folder / "pki/authorities/local/root.crt"
    with running(words, port, folder):
        wait_until(root.exists, "Caddy's certificate", (folder / "console").read_text)
        yield Proxy(port, root)


def changed(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


@contextmanager
def running(words: list[str], port: int, folder: Path) -> Iterator[None]:
    def listens() -> bool:
        assert process.poll() is None, (folder / "console").read_text()
        with socket.socket() as probe:
            return probe.connect_ex((PROXY, port)) == 0

    with (folder / "console").open("wb") as out:
        environment = {"HOME": str(folder), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        process = subprocess.Popen(words, cwd=folder, stdout=out, stderr=out, env=environment)
    try:
        wait_until(listens, words[0], (folder / "console").read_text)
        yield
    finally:
        process.terminate()
        process.wait(60)


def sign_in_wrongly(page: str, client: Any, **more: Any) -> None:
    """Which is written down in the audit log, with the address it came from."""
    form = client.get(page, **more).text
    token = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', form)[0]
    body = {"name": "nobody", "password": "wrong", "csrfmiddlewaretoken": token}
    client.post(page, data=body, **more)


def newest_address(server: RunningServer, keyed: dict[str, str]) -> str:
    reply = requests.get(f"{server.url}/api/audit?limit=1", headers=keyed, timeout=30)
    return str(reply.json()["acts"][0]["address"])


def test_a_stream_arrives_as_it_is_made(proxy: Proxy, keyed: dict[str, str]) -> None:
    """The answer never ends: a proxy that collected it would pass on nothing."""
    body = {"model": "endless", "prompt": "Go on", "stream": True, "max_tokens": -1}
    with (
        proxy.client() as client,
        client.stream("POST", "/v1/completions", json=body, headers=keyed, extensions=SNI) as reply,
    ):
        assert reply.status_code == 200
        lines = reply.iter_lines()
        events = [line for line, _ in zip(lines, range(20), strict=False) if line]
        assert all(line.startswith("data: ") for line in events)
        assert "[DONE]" not in str(events)


def test_a_web_socket_carries_both_ways(proxy: Proxy, keyed: dict[str, str]) -> None:
    trust = ssl.create_default_context(cafile=str(proxy.certificate))
    plain = socket.create_connection((PROXY, proxy.port), timeout=60)
    more: dict[str, Any] = {"sock": plain, "ssl": trust, "additional_headers": keyed}
    with connect(f"wss://{NAME}/upstream/echo/live", proxy=None, **more) as ends:
        assert json.loads(ends.recv())["path"] == "/live"
        ends.send("grüße")
        assert ends.recv() == "grüße"


def test_a_large_upload_arrives_whole(proxy: Proxy, keyed: dict[str, str]) -> None:
    body = bytes(range(256)) * 64 * 1024
    with proxy.client() as client:
        reply = client.post("/upstream/echo/", content=body, headers=keyed, extensions=SNI)
    assert reply.json()["length"] == len(body)
    assert reply.json()["sha256"] == sha256(body).hexdigest()


def test_the_server_sees_the_client_and_not_what_it_forges(
    proxy: Proxy, server: RunningServer, keyed: dict[str, str]
) -> None:
    with proxy.client() as client:
        client.headers["X-Forwarded-For"] = FORGED
        client.headers["Origin"] = f"https://{NAME}"
        client.headers["Referer"] = f"https://{NAME}/ui/sign-in/"
        sign_in_wrongly("/ui/sign-in/", client, extensions=SNI)
    assert newest_address(server, keyed) == CLIENT


def test_it_knows_that_the_browser_came_by_https(proxy: Proxy, server: RunningServer) -> None:
    with proxy.client() as client:
        there = client.get("/ui/sign-in/", extensions=SNI).headers["set-cookie"]
    here = requests.get(f"{server.url}/ui/sign-in/", timeout=60).headers["set-cookie"]
    assert "Secure" in there and "Secure" not in here


def test_nobody_else_is_believed(server: RunningServer, keyed: dict[str, str]) -> None:
    with httpx.Client(
        base_url=server.url, transport=httpx.HTTPTransport(local_address=STRANGER), timeout=60
    ) as client:
        client.headers["X-Forwarded-For"] = FORGED
        sign_in_wrongly("/ui/sign-in/", client)
    assert newest_address(server, keyed) == STRANGER
