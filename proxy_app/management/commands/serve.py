"""`manage.py serve`: the whole server on one machine, engines and worker included."""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import resource
import socket
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import Tags
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from models_app import (
    causes,
    changes,
    config_yaml,
    engine_build,
    folders,
    importing,
    people,
    scan_runs,
)
from models_app.management.acts import written_down
from models_app.rights import Role
from proxy_app import greeting, handover
from proxy_app.first_administrator import INVITATION
from proxy_app.handover import Handover
from proxy_app.home_lock import HomeInUse, HomeLock
from proxy_app.hosts import is_loopback_name
from proxy_app.node_hold import NodeHold, NodeInUse
from proxy_app.predecessor import Predecessor
from proxy_app.succession import Succession

FIRST_NAME = "admin"
"""What the administrator is called whose password the environment gives."""

OPEN_FILES = 65_536
"""As many as that may be open, where the system lets us."""

SWITCH_INTERVAL_SECONDS = 0.0005
"""A thread that renders pages holds up streams for at most this long at a time."""


_NEEDED = ("claracore_site.asgi", "proxy_app.asgi_server", "uvloop", "wsproto")
"""What is imported before the first request at the latest."""


class Command(BaseCommand):
    help = "Serve models: starts and stops engines on demand and streams through one port."
    requires_migrations_checks = False
    # Of the checks only what concerns whoever starts the server: a missing engine is told of
    # by the server itself. Those of the URLs load the pages before the first request does.
    requires_system_checks = ("environment", Tags.urls)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--host",
            default=settings.CLARACORE_HOST,
            help="address to listen on (CLARACORE_HOST, default 127.0.0.1)",
        )
        parser.add_argument(
            "--port",
            type=_port,
            default=settings.CLARACORE_PORT,
            help="port to listen on (CLARACORE_PORT, default 5800)",
        )
        parser.add_argument(
            "--models-folder",
            action="append",
            default=[],
            metavar="PATH",
            help="serve the GGUF files of this folder; may be given more than once",
        )
        parser.add_argument(
            "--backend",
            choices=settings.CLARACORE_BACKENDS,
            help="engine backend to plan for (CLARACORE_BACKEND)",
        )
        parser.add_argument(
            "--ram", type=_gibibytes, metavar="GIB", help="memory to plan with (CLARACORE_RAM)"
        )
        parser.add_argument(
            "--vram", type=_gibibytes, metavar="GIB", help="GPU memory to plan with"
        )
        parser.add_argument(
            "--config", type=Path, metavar="FILE", help="import this config.yaml first"
        )
        parser.add_argument(
            "--insecure",
            action="store_true",
            help="everybody who reaches the port may do everything, and so run programs on this "
            "machine, without account or key (CLARACORE_INSECURE)",
        )
        parser.add_argument(
            "--no-worker",
            action="store_true",
            help="the background worker runs elsewhere (as in docker-compose.yml)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        settings.CLARACORE_INSECURE = options["insecure"] or settings.CLARACORE_INSECURE
        _check_engine()
        before = handover.take()
        try:
            with HomeLock(settings.CLARACORE_HOME, before.lock if before else None) as lock:
                self._serve(options, lock, before)
        except (HomeInUse, NodeInUse) as error:
            raise CommandError(str(error)) from None

    def _serve(self, options: dict[str, Any], lock: HomeLock, before: Handover | None) -> None:
        listener = before.socket() if before else _bind(options["host"], options["port"])
        kept = os.dup(listener.fileno())
        _plan_with(options["backend"], options["ram"], options["vram"])
        predecessor = self._relieve(before) if before else None
        _migrate()
        hold = NodeHold(settings.CLARACORE_HOME, settings.CLARACORE_NODE)
        if hold.take() and (others := folders.of_other_nodes()):
            self._say(others)
        if options["config"] is not None and before is None:
            self._import(options["config"])
        tracked = [self._track(path) for path in options["models_folder"]]
        if tracked or before is not None or not options["config"]:
            scan_runs.request()
        if before is None:
            self._say(greeting.opening(options["host"], options["port"]))
        self._settle_access(options["host"], options["port"])
        greeting.announce_scan_when_done(self._say)
        if predecessor is None:
            _prepare_interpreter()
        _raise_file_limit()
        from proxy_app import asgi_server
        from proxy_app.serving import SERVING

        SERVING.sweeps.append(hold.keep)
        SERVING.runs_worker = not options["no_worker"]
        ours = Handover(kept, lock.descriptor, before.keeper if before else handover.NONE)
        succession = Succession(ours, predecessor)
        server = asgi_server.Server(asgi_server.configuration(), succession)
        server.told_to_stop = os.environ.pop(handover.TO_STOP, "") == "1"
        server.run(sockets=[listener])
        if not server.started:
            raise CommandError("The server could not start; the reason stands above.")
        if server.successor is not None:
            succession.leave_to(server.successor, told_to_stop=server.told_to_stop)
            return
        with suppress(DatabaseError):
            hold.give_back()
        self._say("Stopped.")

    def _relieve(self, before: Handover) -> Predecessor | None:
        """Come up as far as the server before us is not disturbed, then follow it."""
        if before.predecessor == handover.NONE:
            return None
        self.check()
        for module in _NEEDED:
            importlib.import_module(module)
        _prepare_interpreter()
        predecessor = Predecessor(before.predecessor, before.console)
        predecessor.relieve()
        self._say("Starting anew.")
        return predecessor

    def _settle_access(self, host: str, port: int) -> None:
        """Have an administrator where others reach the port, or say how to make one."""
        if settings.CLARACORE_ADMIN_PASSWORD and not people.administrator_exists():
            try:
                with written_down("people", "made the first account, by CLARACORE_ADMIN_PASSWORD"):
                    people.create(FIRST_NAME, settings.CLARACORE_ADMIN_PASSWORD, Role.ADMINISTRATOR)
            except people.PersonRejected as error:
                raise CommandError(f"CLARACORE_ADMIN_PASSWORD was not taken: {error}") from None
            self._say(f"The administrator '{FIRST_NAME}' has the given password.")
        if settings.CLARACORE_INSECURE:
            self._say(greeting.INSECURE)
        elif not is_loopback_name(host):
            from proxy_app.serving import SERVING

            SERVING.keys.open_at_home = False
            if not people.administrator_exists():
                self._say(greeting.first_administrator(host, port, INVITATION.make()))

    def _import(self, file: Path) -> None:
        try:
            parsed = config_yaml.parse(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{file} cannot be read: {error}") from None
        except config_yaml.ConfigError as error:
            raise CommandError(f"{file} was not imported: {error}") from None
        with causes.told(f"imported {file} at the start"):
            report = importing.apply(parsed)
        self._say(f"Imported {file}: {report}")

    def _track(self, path: str) -> str:
        try:
            return str(folders.add(Path(path).expanduser().absolute()))
        except folders.AlreadyCovered as known:
            self._say(str(known))
            return path
        except folders.FolderError as error:
            raise CommandError(str(error)) from None

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def _check_engine() -> None:
    try:
        engine_build.locate()
    except engine_build.EngineProblem as error:
        raise CommandError(str(error)) from None


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise CommandError(
            f"Port {port} on {host} cannot be used: {error.strerror}. "
            "Another server may be running there; choose one with --port."
        ) from None
    listener.set_inheritable(False)
    return listener


def _migrate() -> None:
    """Bring the database up to date. When it is, this takes a tenth of Django's own command.

    A start that was killed while it migrated may have left what counts changes away.
    """
    executor = MigrationExecutor(connection)
    planned = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if planned or not changes.are_counted(connection):
        call_command("migrate", interactive=False, verbosity=0)


def _plan_with(backend: str | None, ram: float | None, vram: float | None) -> None:
    """The flags win over the environment, for this process and its worker alike."""
    for name, value in (("BACKEND", backend), ("RAM", ram), ("VRAM", vram)):
        if value is not None:
            os.environ[f"CLARACORE_{name}"] = str(value)
    settings.CLARACORE_BACKEND = backend or settings.CLARACORE_BACKEND
    settings.CLARACORE_RAM_GIB = ram or settings.CLARACORE_RAM_GIB
    settings.CLARACORE_VRAM_GIB = vram or settings.CLARACORE_VRAM_GIB


def _prepare_interpreter() -> None:
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    # WhiteNoise opens our few small static files synchronously; Django reads them in a thread.
    warnings.filterwarnings("ignore", "StreamingHttpResponse must consume synchronous iterators")
    # What was loaded so far lives for ever: keep the collector from walking it again and
    # again, which shows as pauses of 20 ms in the slowest requests.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def _raise_file_limit() -> None:
    """Each stream takes two files, and many systems begin with 1,024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if most == resource.RLIM_INFINITY else min(most, OPEN_FILES)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _port(text: str) -> int:
    try:
        port = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a whole number, not {text!r}") from None
    if not 1 <= port <= 65535:
        raise argparse.ArgumentTypeError("must be between 1 and 65535")
    return port


def _gibibytes(text: str) -> float:
    try:
        amount = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number of GiB, not {text!r}") from None
    if not 0 < amount < 1_000_000:
        raise argparse.ArgumentTypeError("must be a number of GiB above 0")
    return amount
