"""A real PostgreSQL and a real Redis for tests: on free ports, with data that ends with them."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg
import redis

from tests.llama import free_port

START_LIMIT_SECONDS: Final = 240.0
STOP_LIMIT_SECONDS: Final = 120.0
NAME: Final = "claracore"
PASSWORD: Final = "not for keeps"
REDIS_DATABASES: Final = 4096


class Service:
    """A program that can be stopped and started again with the data it has."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def console(self) -> Path:
        return self.folder / "console.txt"

    def command(self) -> list[str]:
        raise NotImplementedError

    def answers(self) -> bool:
        raise NotImplementedError

    def start(self) -> None:
        """Until it answers. Raises AssertionError with what it printed when it does not."""
        with self.console.open("ab") as out:
            self.process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                **_nobody_special(),
            )
        deadline = time.monotonic() + START_LIMIT_SECONDS
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"It did not start.\n{self.console.read_text()}")
            time.sleep(0.05)

    def stop(self, how: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(STOP_LIMIT_SECONDS)
            self.process = None


class PostgreSql(Service):
    """Without the waits for the disk: its data need not outlive the machine."""

    def make(self) -> None:
        """The files of a new one, with a password as anywhere else."""
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        shutil.chown(secret, *_owner())
        initdb = [
            str(postgresql_programs() / "initdb"),
            "--no-sync",
            "--pgdata",
            str(self.folder / "data"),
        ]
        options = ["-U", NAME, "-A", "scram-sha-256", "--pwfile", str(secret), "--encoding=UTF8"]
        subprocess.run(
            [*initdb, *options, "--locale=C.UTF-8"],
            cwd=self.folder,
            check=True,
            capture_output=True,
            **_nobody_special(),
        )

    def command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "fsync": "off",
            "full_page_writes": "off",
            "max_connections": 200,
            "shared_buffers": "32MB",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [str(postgresql_programs() / "postgres"), "-D", str(self.folder / "data"), *options]

    def answers(self) -> bool:
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=NAME,
            password=PASSWORD,
            dbname=database,
            autocommit=True,
            connect_timeout=10,
        )

    @property
    def url(self) -> str:
        return f"postgres://{NAME}:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{self.port}/{NAME}"


class Redis(Service):
    """Keeps what it was told in an append-only file, as `docker-compose.yml` has it."""

    def command(self) -> list[str]:
        listening = ["--bind", "127.0.0.1", "--port", str(self.port), "--save", ""]
        keeping = ["--appendonly", "yes", "--databases", str(REDIS_DATABASES)]
        return ["redis-server", *listening, *keeping, "--dir", str(self.folder)]

    def answers(self) -> bool:
        try:
            with redis.Redis(port=self.port, socket_timeout=5) as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"


@contextmanager
def postgresql() -> Iterator[PostgreSql]:
    with _folder("postgresql") as folder:
        service = PostgreSql(folder, free_port())
        service.make()
        service.start()
        try:
            yield service
        finally:
            service.stop(signal.SIGINT)  # ends connections rather than waiting for them


@contextmanager
def postgresql_with_database() -> Iterator[PostgreSql]:
    """One that has the database which `NAME` says, with nothing in it."""
    with postgresql() as service:
        with service.connect() as connection:
            connection.execute(f"CREATE DATABASE {NAME}".encode())
        yield service


@contextmanager
def redis_server() -> Iterator[Redis]:
    with _folder("redis") as folder:
        service = Redis(folder, free_port())
        service.start()
        try:
            yield service
        finally:
            service.stop(signal.SIGTERM)


@contextmanager
def _folder(name: str) -> Iterator[Path]:
    """A folder that belongs to whom the service runs as."""
    with tempfile.TemporaryDirectory(prefix=f"claracore-{name}-") as folder:
        shutil.chown(folder, *_owner())
        yield Path(folder)


def _nobody_special() -> dict[str, Any]:
    """PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return {}
    user, group = _owner()
    return {"user": user, "group": group, "extra_groups": []}


def _owner() -> tuple[int, int]:
    """User and group that the services run as: Debian's `postgres` when this is root."""
    if os.getuid() != 0:
        return os.getuid(), os.getgid()
    account = pwd.getpwnam("postgres")
    return account.pw_uid, account.pw_gid


def postgresql_programs() -> Path:
    """Where the newest PostgreSQL's programs are: Debian keeps them off the PATH."""
    if found := shutil.which("postgres"):
        return Path(found).parent
    folders = Path("/usr/lib/postgresql").glob("*/bin")
    return max(folders, key=lambda folder: int(folder.parent.name))
