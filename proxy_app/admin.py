"""What the serving process adds to the admin's list of models: states, load and unload."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from models_app.admin.live import SERVING as ADMIN
from models_app.admin.live import LiveModel
from models_app.models import ServedModel
from proxy_app import questions, usage_admin
from proxy_app.errors import GatewayError, NotServing
from proxy_app.runner import Runner
from proxy_app.serving import SERVING

SETTLE_SECONDS: Final = 2.0
"""How long an act waits for engines before the list is shown again."""


def live_models() -> dict[str, LiveModel] | None:
    """What the runner knows of every model; None in a process without engines."""
    try:
        found: dict[str, LiveModel] = questions.ask("live_models")
    except NotServing:
        return None
    return found


@admin.action(description="Load")
def load(model_admin: Any, request: HttpRequest, queryset: QuerySet[ServedModel]) -> None:
    """Ask for the models' engines; those that swap with each other come one after another."""

    async def ask(runner: Runner, model: str) -> None:
        runner.load(model)
        await runner.wait_until_settled(model)

    _for_each(model_admin, request, queryset, ask, "Loading")


@admin.action(description="Unload, once their requests are done")
def unload(model_admin: Any, request: HttpRequest, queryset: QuerySet[ServedModel]) -> None:
    async def ask(runner: Runner, model: str) -> None:
        await runner.unload(model)

    _for_each(model_admin, request, queryset, ask, "Unloading")


def _for_each(
    model_admin: Any,
    request: HttpRequest,
    queryset: QuerySet[ServedModel],
    ask: Callable[[Runner, str], Awaitable[None]],
    verb: str,
) -> None:
    """Ask it of every model at once, wait a little, and tell of those that cannot."""
    asked: list[str] = []

    async def work(runner: Runner) -> list[GatewayError]:
        tasks = [asyncio.ensure_future(ask(runner, model)) for model in asked]
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_SECONDS):
                await asyncio.wait(tasks)
        return [error for task in tasks if isinstance(error := _ended(task), GatewayError)]

    try:
        for name in queryset.values_list("model_id", flat=True):
            if name in SERVING.lineup.models:
                asked.append(name)
            else:
                text = f"{name} is not served, so it has no engine. Its note says why."
                model_admin.message_user(request, text, messages.WARNING)
        failed = SERVING.call(work) if asked else []
    except GatewayError as error:
        model_admin.message_user(request, error.message, messages.ERROR)
        return
    for problem in failed:
        model_admin.message_user(request, problem.message, messages.ERROR)
    if len(asked) > len(failed):
        model_admin.message_user(request, f"{verb} {', '.join(asked)}.", messages.SUCCESS)


def _ended(task: asyncio.Future[None]) -> BaseException | None:
    """Why it failed; one that still runs is let go: what it asked for goes on without it."""
    if not task.done():
        task.cancel()
        return None
    return None if task.cancelled() else task.exception()


assert usage_admin  # Registers its tables.
ADMIN.register(live_models, (load, unload))
