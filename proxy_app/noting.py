"""Writes down, in the audit log, what is done past Django: its middleware does not see it."""

from __future__ import annotations

from models_app import audit
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
