"""The list of models. It works without JavaScript."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from models_app.access import keeps_within_reach, needs, rights_of
from models_app.models import GgufFile, ServedModel
from models_app.naming import split_of
from models_app.rights import Scope
from models_app.within_reach import looked_after
from proxy_app import orders
from proxy_app.access_errors import ModelNotAllowed
from proxy_app.api.models import managed
from proxy_app.errors import GatewayError, ModelFailedToStart
from proxy_app.runner import Runner
from proxy_app.serving import SERVING
from ui_app import model_list, notices, runtime, whose
from ui_app.model_list import SORTS, STATES, Wish
from ui_app.posting import acts, is_page_of_ours

SETTLE_SECONDS = 2.0
"""How long a form waits for the model it loads or unloads before it shows the page again."""


@needs(Scope.INFERENCE)
@require_safe
@never_cache
def models(request: HttpRequest) -> HttpResponse:
    """All models with their state: cards or a table."""
    now, rights = runtime.now(), rights_of(request)
    wish = Wish.read(request.GET.dict())
    listing = model_list.listing(wish, now, rights)
    context = {
        "listing": listing,
        "wish": wish,
        "cards": listing.cards,
        "sorts": [(key, label, wish.address(sort=key)) for key, label in SORTS.items()],
        "states": STATES.items(),
        "as_cards": wish.address(view="cards", page=wish.page),
        "as_table": wish.address(view="table", page=wish.page),
        "unserved": unserved_files() if rights.manages_all or not rights.is_limited else [],
        "notices": notices.notices(now, rights),
        "is_busy": any(card.is_busy for card in listing.cards),
    }
    return render(request, "ui/models.html", context)


def unserved_files() -> list[GgufFile]:
    """Files with a reason why they cannot be served, a split model's parts as one."""
    rows = (
        GgufFile.objects.filter(
            state__in=(GgufFile.State.UNREADABLE, GgufFile.State.INCOMPLETE), folder__enabled=True
        )
        .exclude(problem="")
        .only("path", "relative_path", "problem")
        .order_by("path")
    )
    by_set: dict[tuple[str, str], GgufFile] = {}
    for row in rows:
        split = split_of(row.relative_path)
        by_set.setdefault((split.prefix if split else row.path, row.problem), row)
    return list(by_set.values())


@needs(Scope.MANAGE)
@keeps_within_reach
@acts("ui-models")
def act(request: HttpRequest) -> HttpResponse:
    """Load, unload or pin the model that the pressed button names, or unload all."""
    caller = whose.caller_of(request)
    if name := request.POST.get("pin", ""):
        if looked_after(caller.rights)(name):
            _pin(name)
        else:
            messages.error(request, ModelNotAllowed(name).message)
        return _back(request, name)
    name = request.POST.get("load") or request.POST.get("unload") or ""
    try:
        if "unload_all" in request.POST:
            SERVING.call(_in_time(lambda runner: orders.unload_all(runner, caller)))
        else:
            model = managed(caller, name)
            SERVING.call(
                _loading(model)
                if "load" in request.POST
                else _in_time(lambda runner: runner.unload(model))
            )
    except ModelFailedToStart:
        pass  # The model itself shows it, with the reason.
    except GatewayError as error:
        messages.error(request, error.message)
    return _back(request, name)


def _pin(name: str) -> None:
    """Pin a model, or let go of one that is pinned."""
    row = ServedModel.objects.filter(model_id=name).first()
    if row is not None:
        row.pinned = not row.pinned
        row.save(update_fields=["pinned"])


def _back(request: HttpRequest, name: str) -> HttpResponse:
    """Where the form stood: the list, or the model's own page."""
    there = request.POST.get("next", "")
    if is_page_of_ours(there):
        return redirect(there)
    row = ServedModel.objects.filter(model_id=name).only("pk").first()
    return redirect(reverse("ui-models") + (f"#model-{row.pk}" if row else ""))


def _loading(model: str) -> Callable[[Runner], Any]:
    async def load(runner: Runner) -> None:
        runner.load(model)
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_SECONDS):
                await runner.wait_until_settled(model)

    return load


def _in_time(unload: Callable[[Runner], Awaitable[None]]) -> Callable[[Runner], Any]:
    """Waited for as long as a form waits."""

    async def begin(runner: Runner) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_SECONDS):
                await unload(runner)

    return begin
