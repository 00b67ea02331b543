from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from claracore_site.api_reference import page


class Command(BaseCommand):
    help = "Write docs/routes.md from the API's own description."

    def handle(self, *args: Any, **options: Any) -> None:
        file = settings.BASE_DIR / "docs" / "routes.md"
        file.write_text(page())
        self.stdout.write(f"Written: {file}")
