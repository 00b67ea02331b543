"""`docker-compose.yml` run without Docker: each service's own command, in a container of ours.

What our image holds is taken from the Dockerfile; of Redis' and PostgreSQL's images this knows the
folders and their owners. Debian's programs stand in for theirs. Two things differ: the port, as
others may use 5800 on this machine; and the network is the machine's.
"""

from __future__ import annotations

import os
import pwd
import re
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from tests.container import Container, Shape, User
from tests.server import ROOT, free_port
from tests.services import postgresql_programs

FILE: Final = ROOT / "docker-compose.yml"
START_LIMIT_SECONDS: Final = 240.0
PASSWORD: Final = "correct horse battery"
CORE: Final = ("postgres", "redis", "web", "worker")
"""What a plain `docker compose up` starts, in the order in which each waits for those before."""

PLAIN_PATH: Final = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True)
class Image:
    """What a service finds in its image."""

    user: User
    environment: Mapping[str, str]
    folder: str = "/"
    holds: Mapping[str, Path] = field(default_factory=dict)
    owns: Mapping[str, int] = field(default_factory=dict)
    """The image's folders for volumes, with their modes; they are its user's.

    A new volume takes both. Mounted where the image has nothing, it is root's.
    """


class Stack:
    """The services of a checkout: `folder` stands for it, with its `secrets` and its volumes."""

    def __init__(self, folder: Path, models: Path, *, also: Mapping[str, Path] | None = None):
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._also = dict(also or {})
        """What is mounted into web and worker besides, as by an override file."""
        self.services = read({"CLARACORE_MODELS": str(models)})
        self._containers: dict[str, Container] = {}
        secrets = folder / "secrets"
        secrets.mkdir(mode=0o700)
        (secrets / "admin_password").write_text(PASSWORD + "\n")

    def up(self) -> None:
        """Each service once those it waits for are healthy; nobody waits for the last one."""
        for name in CORE:
            self.start(name)
            if name != CORE[-1]:
                self.wait_until_healthy(name)

    def start(self, name: str) -> None:
        """Also after it was stopped or killed: what is in its volumes is still there."""
        if name == "postgres" and name not in self._containers:
            self._make_database()
        if name not in self._containers:
            self._containers[name] = Container(self._shape(name), self.folder / name)
        self._containers[name].start()

    def wait_until_healthy(self, name: str) -> None:
        deadline = time.monotonic() + START_LIMIT_SECONDS
        while not self.is_healthy(name):
            if not self[name].is_running() or time.monotonic() > deadline:
                raise AssertionError(f"{name} does not become healthy.\n{self[name].said()}")
            time.sleep(0.1)

    def is_healthy(self, name: str) -> bool:
        """What the service's own health check says."""
        check = self.services[name]["healthcheck"]
        kind, *words = check["test"]
        assert kind == "CMD"
        limit = float(check["timeout"].removesuffix("s"))
        return self[name].run([self._ported(word) for word in words], limit).returncode == 0

    def __getitem__(self, name: str) -> Container:
        return self._containers[name]

    def down(self) -> None:
        for name in reversed(CORE):
            if name in self._containers:
                self.stop(name)

    def stop(self, name: str) -> int | None:
        """With the signal that its image names and the grace that the file gives it."""
        grace = float(self.services[name].get("stop_grace_period", "10s").removesuffix("s"))
        return self[name].stop(signal.SIGINT if name == "postgres" else signal.SIGTERM, grace)

    def volume(self, name: str) -> Path:
        """Where a named volume lies on this machine."""
        return self.folder / "volumes" / name

    def _make_database(self) -> None:
        """What the image's entry point does when it finds no data."""
        says = self.services["postgres"]["environment"]
        making = (
            f"initdb --no-sync -U {says['POSTGRES_USER']} -A {says['POSTGRES_HOST_AUTH_METHOD']}"
        )
        naming = f"echo 'CREATE DATABASE {says['POSTGRES_DB']}' | postgres --single postgres"
        shape = self._shape("postgres", ["sh", "-c", f"{making} --encoding=UTF8 && {naming}"])
        once = Container(shape, self.folder / "initdb")
        once.start()
        deadline = time.monotonic() + START_LIMIT_SECONDS
        while once.is_running():
            assert time.monotonic() < deadline, once.said()
            time.sleep(0.05)
        assert (self.volume("postgres") / "PG_VERSION").exists(), once.said()

    def _shape(self, name: str, command: list[str] | None = None) -> Shape:
        service = self.services[name]
        image = image_of(service)
        told = {key: str(value) for key, value in service.get("environment", {}).items()}
        if name == "web":
            told["CLARACORE_PORT"] = str(self.port)
        writable, readable = self._volumes(service, image)
        ours = self._also if service["image"].startswith("claracore") else {}
        return Shape(
            command=command or service["command"],
            user=image.user,
            environment={**image.environment, **told},
            folder=image.folder,
            writable=writable,
            readable={**image.holds, **readable, **self._secrets(service), **ours, **self._names()},
            init=bool(service.get("init")),
            shared_memory=str(service.get("shm_size", "64m")),
        )

    def _volumes(
        self, service: Mapping[str, Any], image: Image
    ) -> tuple[dict[str, Path], dict[str, Path]]:
        writable: dict[str, Path] = {}
        readable: dict[str, Path] = {}
        for line in service.get("volumes", ()):
            source, inside, *options = line.split(":")
            if source.startswith(("/", ".")):
                place = (self.folder / source).resolve()
            else:
                place = self._named_volume(source, inside, image)
            (readable if "ro" in options else writable)[inside] = place
        return writable, readable

    def _named_volume(self, name: str, inside: str, image: Image) -> Path:
        place = self.volume(name)
        options = (self.services.volumes.get(name) or {}).get("driver_opts", {})
        if not place.exists():
            place.mkdir(parents=True)
            if found := re.search(r"mode=(\d+)", options.get("o", "")):
                place.chmod(int(found[1], 8))
        if inside in image.owns and not any(place.iterdir()):
            os.chown(place, image.user.uid, image.user.gid)
            place.chmod(image.owns[inside])
        return place

    def _secrets(self, service: Mapping[str, Any]) -> dict[str, Path]:
        return {
            f"/run/secrets/{name}": (self.folder / self.services.secrets[name]["file"]).resolve()
            for name in service.get("secrets", ())
        }

    def _names(self) -> dict[str, Path]:
        """The machine's users and groups, and our image's own."""
        number = _our_image().user.uid
        files = {}
        for name, line in (
            ("passwd", f"claracore:x:{number}:{number}::/home/claracore:/bin/sh\n"),
            ("group", f"claracore:x:{number}:\n"),
        ):
            files[f"/etc/{name}"] = self.folder / name
            if not (self.folder / name).exists():
                (self.folder / name).write_text(Path("/etc", name).read_text() + line)
        return files

    def _ported(self, word: str) -> str:
        return word.replace(":5800/", f":{self.port}/")


class Services(dict[str, dict[str, Any]]):
    """The file's services by name, and what stands beside them."""

    secrets: dict[str, dict[str, Any]]
    volumes: dict[str, dict[str, Any] | None]


def read(settings: Mapping[str, str]) -> Services:
    """The file with its variables replaced, Compose's way. Raises LookupError for one it needs."""
    document = _replaced(yaml.safe_load(FILE.read_text()), settings)
    services = Services(document["services"])
    services.secrets, services.volumes = document["secrets"], document["volumes"]
    return services


def _replaced(value: Any, settings: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(inner, settings) for key, inner in value.items()}
    if isinstance(value, list):
        return [_replaced(inner, settings) for inner in value]
    return _in_text(value, settings) if isinstance(value, str) else value


def _in_text(text: str, settings: Mapping[str, str]) -> str:
    def one(found: re.Match[str]) -> str:
        name, kind, rest = found.groups()
        if settings.get(name):
            return settings[name]
        if kind == "?":
            raise LookupError(f"{name}: {rest}")
        return rest or ""

    return re.sub(r"\$\{([A-Z_]+)(?::([-?])([^}]*))?\}", one, text)


def image_of(service: Mapping[str, Any]) -> Image:
    """What is known of a service's image. Raises KeyError for one that is not."""
    name = service["image"].partition(":")[0]
    if name == "claracore":
        return _our_image()
    owner = pwd.getpwnam(service["user"])
    user = User(owner.pw_uid, owner.pw_gid)
    if name == "redis":
        return Image(user, {"PATH": PLAIN_PATH}, "/data", owns={"/data": 0o755})
    data = "/var/lib/postgresql/data"
    return {
        "postgres": Image(
            user,
            {"PATH": f"{PLAIN_PATH}:{postgresql_programs()}", "PGDATA": data},
            owns={data: 0o700, "/run/postgresql": 0o3777},
        )
    }[name]


def _our_image() -> Image:
    """By the Dockerfile's stages `program` and `server`."""
    stages = re.split(r"^FROM ", (ROOT / "Dockerfile").read_text().replace("\\\n", ""), flags=re.M)
    by_name = {found[1]: text for text in stages if (found := re.match(r"\S+ AS (\S+)", text))}
    holds = {}
    for line in re.findall(r"^COPY (?!--)(.+)$", by_name["program"], re.M):
        *sources, target = line.split()
        for source in sources:
            inside = target + source if target.endswith("/") else target
            holds[inside] = ROOT / source
    server = by_name["server"]
    (line,) = re.findall(r"^ENV (.+)$", server, re.M)
    environment = dict(pair.split("=", 1) for pair in line.split())
    environment["PATH"] = environment["PATH"].replace("$PATH", PLAIN_PATH)
    (number,) = {int(found) for found in re.findall(r"^USER (\d+)$", server, re.M)}
    (folder,) = re.findall(r"^WORKDIR (\S+)$", server, re.M)
    return Image(User(number, number), environment, folder, holds, owns={"/data": 0o700})


@contextmanager
def running_stack(
    folder: Path, models: Path, *, also: Mapping[str, Path] | None = None
) -> Iterator[Stack]:
    """All of it, healthy; stopped in order at the end."""
    stack = Stack(folder, models, also=also)
    try:
        stack.up()
        yield stack
    finally:
        stack.down()
