"""How answers are written: always as JSON, whatever a client says it would rather have."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request


class Json(JSONRenderer):
    """Compact JSON in UTF-8."""

    charset = "utf-8"

    def render(self, data: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().render(data, *args, **kwargs)
        except UnicodeEncodeError:
            # Names of files need not be UTF-8; escaped they are still JSON.
            return _Escaped().render(data, *args, **kwargs)


class _Escaped(JSONRenderer):
    ensure_ascii = True


class AlwaysTheFirst(BaseContentNegotiation):
    """Takes no part in negotiating: a browser or a script gets what every client gets."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser:
        return next(iter(parsers))

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        first = next(iter(renderers))
        return first, first.media_type or ""
