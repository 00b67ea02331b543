"""The development server, which says what it lacks."""

from __future__ import annotations

from typing import Any

from daphne.management.commands.runserver import Command as DaphneCommand


class Command(DaphneCommand):  # type: ignore[misc]
    help = "Development server for pages and admin; it runs no engines."

    def inner_run(self, *args: Any, **options: Any) -> None:
        self.stdout.write(
            self.style.WARNING(
                "This development server has no lifespan, so it runs without engines and "
                "worker: pages and admin work, inference answers 503. "
                "Use `manage.py serve` for the whole server."
            )
        )
        super().inner_run(*args, **options)
