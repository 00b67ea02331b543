"""What somebody orders of all models at once, within what they look after."""

from __future__ import annotations

import asyncio

from proxy_app import reach
from proxy_app.keys import Caller
from proxy_app.runner import Runner


async def unload_all(runner: Runner, caller: Caller, *, force: bool = False) -> None:
    """Unload every model that a caller looks after, and wait until they are gone."""
    if caller.rights.manages_all:
        await runner.unload(force=force)
        return
    lineup = runner.lineup
    own = [model for model in lineup.models if reach.may_manage(caller, lineup, model)]
    await asyncio.gather(*(runner.unload(model, force=force) for model in own))
