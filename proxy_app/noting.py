"""Writes down, in the audit log, what Django's middleware does not: it does not see what is done
past Django, nor that a request was somebody else's.
"""

from __future__ import annotations

from django.http import HttpRequest

from models_app import audit
from models_app.access import rights_of
from proxy_app.database_calls import asked
from proxy_app.incoming import Scope
from proxy_app.key_guard import caller_of


async def note(scope: Scope, kind: str) -> None:
    """One act that is done, by whoever sent the request."""
    caller = caller_of(scope)
    client = scope.get("client")
    await asked(
        audit.note,
        kind,
        f"{scope['method']} {scope['path']}",
        caller.rights,
        key_id=caller.key_id or 0,
        address=str(client[0]) if client else "",
    )


def note_ended(request: HttpRequest, number: int) -> None:
    """Somebody has ended a request under way that was not their own."""
    rights = rights_of(request)
    address = request.META.get("REMOTE_ADDR") or ""
    what = f"ended request {number} of somebody else"
    audit.note("requests", what, rights, key_id=rights.key_id, address=address)
