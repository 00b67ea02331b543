"""Pages are sent compressed to whoever takes that: a long list over a LAN's wireless gains much."""

from __future__ import annotations

from typing import Final

from django.http import HttpRequest, HttpResponseBase
from django.middleware.gzip import GZipMiddleware

_PAGES: Final = ("/ui/", "/admin/")


class CompressedPages(GZipMiddleware):
    """Django's own, for pages only: streams must not be held back, and programs ask for little.

    Django lengthens each page by random bytes, so that its length tells nothing of the token
    against forged requests in it (BREACH).
    """

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        if response.streaming or not request.path.startswith(_PAGES):
            return response
        return super().process_response(request, response)
