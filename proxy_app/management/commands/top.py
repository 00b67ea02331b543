"""`manage.py top`: models, queue, requests and memory of a running server, in a terminal."""

from __future__ import annotations

import sys
import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.live import Live

from proxy_app.top.look import Eye, Unreachable
from proxy_app.top.show import lines, screen

SHORTEST_SECONDS = 0.2


class Command(BaseCommand):
    help = "Show models, queue, live requests, memory and speed of a running server."
    requires_system_checks = ()
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--url",
            default=f"http://127.0.0.1:{settings.CLARACORE_PORT}",
            help="the server (default: this machine's, CLARACORE_PORT)",
        )
        parser.add_argument(
            "--key",
            default=settings.CLARACORE_CLIENT_KEY,
            help="an API key; better in CLARACORE_CLIENT_KEY, as others see a command line",
        )
        parser.add_argument(
            "--interval", type=float, default=1.0, metavar="SECONDS", help="how often to look"
        )
        parser.add_argument("--once", action="store_true", help="look once and print plain text")

    def handle(self, **options: Any) -> None:
        eye = Eye(options["url"], options["key"])
        try:
            if options["once"] or not sys.stdout.isatty():
                self.stdout.write(lines(eye.look()))
            else:
                _watch(eye, max(SHORTEST_SECONDS, options["interval"]))
        except Unreachable as error:
            raise CommandError(str(error)) from error
        finally:
            eye.close()


def _watch(eye: Eye, interval: float) -> None:
    """Look again and again until Ctrl-C."""
    console = Console()
    try:
        with Live(screen(eye.look()), console=console, screen=True, auto_refresh=False) as live:
            while True:
                time.sleep(interval)
                live.update(screen(eye.look()), refresh=True)
    except KeyboardInterrupt:
        return
