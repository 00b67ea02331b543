"""What the proxy benchmark measures: the fake engine itself, and the ways to it."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import requests
import yaml

from proxy_app.journal import segments
from tests.management import in_home
from tests.server import DATABASE, ROOT, free_port, running_server, wait_until

MODEL = "fake"
CHAT = "/v1/chat/completions"

SETTLED_SECONDS = 2.0
SETTLED_SHARE = 0.1
"""Of a processor; a start takes all of one for many seconds."""

SET_UP = """
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from models_app import api_keys
from models_app.models import ServerSettings
print(api_keys.create("bench")[1])
ServerSettings.objects.update(usage_days={days})
api_keys.require(True)
visitor = User.objects.create_superuser("visitor", password="looks at pages")
session = SessionStore()
session[SESSION_KEY] = str(visitor.pk)
session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
session[HASH_SESSION_KEY] = visitor.get_session_auth_hash()
session.create()
print(session.session_key)
"""
"""Makes a key and asks for one from now on, and signs an administrator in; prints key and session.
"""

KNOWN = """
from django.db.models import Sum
from proxy_app.models import UsageHour
print(UsageHour.objects.aggregate(all=Sum("requests"))["all"] or 0)
"""

NGINX = """
worker_processes 1;
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream engine {{
        server 127.0.0.1:{engine};
        keepalive 1024;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{port};
        keepalive_requests 1000000000;
        location / {{
            proxy_pass http://engine;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }}
    }}
}}
"""


@dataclass(frozen=True)
class Cores:
    """Which processor runs the proxies, and which one runs the load and the engines."""

    proxy: int
    load: int

    @classmethod
    def pick(cls) -> Cores:
        """The last two this process may use; one twice where there is only one."""
        usable = sorted(os.sched_getaffinity(0))
        return cls(proxy=usable[-1], load=usable[-2] if len(usable) > 1 else usable[-1])


def pinned(core: int) -> list[str]:
    return ["taskset", "--cpu-list", str(core)]


@dataclass(frozen=True)
class Target:
    """One way to the engine. `process` is whose processor time is counted, None for nobody's."""

    name: str
    url: str
    process: psutil.Process | None = None
    key: str = "none"
    """What is sent as the API key."""

    @property
    def chat_url(self) -> str:
        return self.url + CHAT

    @property
    def port(self) -> int:
        port = urlsplit(self.url).port
        assert port is not None
        return port

    def cpu_seconds(self) -> float:
        """Processor time it has used so far, its own and the system's on its behalf."""
        if self.process is None:
            return 0.0
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def memory(self) -> float:
        """Bytes it holds in memory."""
        return float(self.process.memory_info().rss) if self.process else 0.0

    def wait(self) -> None:
        """Until it answers a chat request; this also loads the model behind it."""
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}

        def answers() -> bool:
            try:
                reply = requests.post(self.chat_url, data=chat_body(), headers=headers, timeout=60)
            except requests.ConnectionError:
                return False
            assert reply.ok, reply.text
            return True

        wait_until(answers, f"an answer from {self.name}")


@dataclass(frozen=True)
class Claracore(Target):
    """This product, asking for a key."""

    home: Path = Path()
    session: str = ""
    """An administrator's, for pages."""

    def has_started(self) -> bool:
        """Whether it and its helpers have nothing more to do than on any quiet day."""
        assert self.process is not None
        family = [self.process, *self.process.children(recursive=True)]
        try:
            before = sum(sum(one.cpu_times()[:2]) for one in family)
            time.sleep(SETTLED_SECONDS)
            used = sum(sum(one.cpu_times()[:2]) for one in family) - before
        except psutil.NoSuchProcess:  # A helper has just done its work.
            return False
        return used < SETTLED_SHARE * SETTLED_SECONDS

    def has_drained(self) -> bool:
        """Whether everything recorded was taken over, so that its worker has nothing to do."""
        database = sqlite3.connect(f"file:{self.home / DATABASE}?mode=ro", uri=True)
        with closing(database):
            marks = dict(database.execute("SELECT segment, offset FROM proxy_app_journalmark"))
        try:
            return all(
                segment.stat().st_size == marks.get(segment.name, 0)
                for segment in segments(self.home / "journal")
            )
        except FileNotFoundError:  # One that was taken over as a whole is gone.
            return False

    def requests_in_usage(self) -> int:
        """How many requests the usage knows of, once what was recorded is taken over."""
        known, before = self._known(), -1
        while known != before:
            time.sleep(3)
            known, before = self._known(), known
        return known

    def _known(self) -> int:
        return int(in_home(self.home, KNOWN))


def chat_body(**more: object) -> str:
    """A small chat request, and what else it asks for."""
    messages = [{"role": "user", "content": "Say hello in one sentence."}]
    return json.dumps({"model": MODEL, "messages": messages, "max_tokens": 16, **more})


@contextmanager
def child(command: list[str], **environment: str) -> Iterator[psutil.Process]:
    """A program that runs inside the block."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Linux weighs sessions: the load's is not to be theirs too.
    )
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def engine_command(core: int) -> list[str]:
    """A fake engine, still without its port."""
    return [*pinned(core), sys.executable, "-m", "tests.fake_engine", "--alias", MODEL]


@contextmanager
def direct(cores: Cores) -> Iterator[Target]:
    """The engine with nothing in between."""
    port = free_port()
    with child([*engine_command(cores.load), "--port", str(port)]):
        target = Target("direct", f"http://127.0.0.1:{port}")
        target.wait()
        yield target


@contextmanager
def nginx(cores: Cores, engine: Target, scratch: Path) -> Iterator[Target]:
    """nginx with one worker and unbuffered answers, in front of the same engine as `direct`."""
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    folder = scratch / "nginx"
    folder.mkdir()
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, engine=engine.port, port=port))
    command = [*pinned(cores.proxy), program, "-e", str(folder / "error.log"), "-c", str(config)]
    with child(command) as process:
        target = Target("nginx", f"http://127.0.0.1:{port}", process)
        target.wait()
        yield target


@contextmanager
def claracore(cores: Cores, scratch: Path, *, usage: bool = True) -> Iterator[Claracore]:
    """This product, serving a model whose engine is a fake one of its own.

    A key is needed, and `usage` recorded, as on a server that several people use.
    """
    model = {
        "cmd": shlex.join(engine_command(cores.load)) + " --port ${PORT}",
        "proxy": "http://127.0.0.1:${PORT}",
        "env": [f"PYTHONPATH={ROOT}"],
        "concurrencyLimit": 4096,
    }
    config = scratch / "config.yaml"
    config.write_text(yaml.safe_dump({"models": {MODEL: model}}))
    arguments = ["--config", str(config)]
    with running_server(
        arguments=arguments, prefix=pinned(cores.proxy), own_session=True
    ) as server:
        server.wait_for_models(MODEL)
        key, session = in_home(server.home, SET_UP.format(days=30 if usage else 0)).split()
        wait_until(lambda: requests.get(server.url + "/v1/models").status_code == 401, "a guard")
        process = psutil.Process(server.process.pid)
        target = Claracore("claracore", server.url, process, key, server.home, session)
        target.wait()
        wait_until(target.has_started, "the end of its start")
        yield target
