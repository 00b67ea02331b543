"""The playground: models tried out in the browser, which asks them as any program does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render, resolve_url
from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise
from django.views.decorators.http import require_safe

from models_app.access import needs
from models_app.rights import NOBODY, Rights, Scope
from models_app.within_reach import within_reach
from proxy_app import questions
from proxy_app.errors import NotServing
from ui_app import snippets, whose
from ui_app.model_choices import LABELS, Choice, Task, choices, preferred
from ui_app.queue_view import named

_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
"""As every page's, but attached images and sounds are shown out of the page itself. What a model
writes can still have nothing fetched from elsewhere."""


@dataclass(frozen=True, slots=True)
class Tab:
    """A task in the row of tasks."""

    route: str
    label: Promise
    is_current: bool


@needs(Scope.INFERENCE)
@require_safe
def chat(request: HttpRequest) -> HttpResponse:
    """Talk to a model, or to two side by side."""
    return _page(request, Task.CHAT)


@needs(Scope.INFERENCE)
@require_safe
def task(request: HttpRequest, name: str) -> HttpResponse:
    """Try something else than chat: a form, one request, and what comes of it."""
    return _page(request, Task(name))


@needs(Scope.INFERENCE)
@require_safe
def wait(request: HttpRequest) -> HttpResponse:
    """What somebody who asked `?model=` waits for, as JSON: `state` and who is in the way."""
    try:
        told = questions.ask("queue")
    except NotServing as error:
        return JsonResponse({"error": error.message}, status=error.status)
    asked, caller = request.GET.get("model", ""), whose.caller_of(request)
    model, may_use = told["virtual"].get(asked, asked), within_reach(caller.rights)
    line = next((one for one in told["models"] if one["model"] == model), None)
    waits = {"state": "stopped"}
    if line is not None and may_use(asked):
        waits = _wait(line, caller.share, may_use)
    return JsonResponse(waits, headers={"Cache-Control": "no-store"})


def _wait(line: dict[str, Any], share: str, may_use: Callable[[str], bool]) -> dict[str, Any]:
    mine = [place for place in line["requests"] if place["caller"] == share]
    plan = line["plan"] or {"waitsFor": [], "evicts": [], "behind": []}
    return {
        "state": line["state"],
        "elapsed": line.get("elapsed"),
        # Of several questions of one person the newest is meant.
        "position": mine[-1]["position"] if mine else None,
        "waitSeconds": mine[-1]["expectedWaitSeconds"] if mine else None,
        "readySeconds": line["readyInSeconds"],
        "loadSeconds": line["loadSeconds"],
        "waitsFor": named(plan["waitsFor"], may_use),
        "evicts": named(plan["evicts"], may_use),
        "behind": named(plan["behind"], may_use),
    }


def _page(request: HttpRequest, task: Task) -> HttpResponse:
    rights: Rights = getattr(request, "rights", NOBODY)
    everything = choices(rights)
    wanted = next((one for one in everything if one.model_id == request.GET.get("model")), None)
    if wanted and wanted.tasks and task not in wanted.tasks:
        return _to_its_task(wanted)
    offered = [choice for choice in everything if task in choice.tasks]
    chosen = preferred(offered, task, request.GET.get("model", ""))
    context = {
        "tabs": _tabs(task, everything),
        "choices": offered,
        "chosen": chosen.model_id if chosen else "",
        "script": f"ui/js/pages/try_{task}.js",
        "person": rights.person_id,
        "snippet": _snippet(request, chosen),
        "log_address": f"{_address('ui-logs')}?source=MODEL",
        "engines_address": _address("ui-engines"),
        "sign_in_address": f"{resolve_url('ui-sign-in')}?next={request.path}",
    }
    response = render(request, f"ui/playground/{task}.html", context)
    response["Content-Security-Policy"] = _POLICY
    return response


def _to_its_task(choice: Choice) -> HttpResponse:
    """Where a model can be tried that cannot do what was asked for."""
    task = next(task for task in Task if task in choice.tasks)
    return redirect(f"{reverse(route_of(task))}?{urlencode({'model': choice.model_id})}")


def _tabs(current: Task, everything: list[Choice]) -> list[Tab]:
    """The tasks that some model offers; chat always, for it says what is missing."""
    offered = {task for choice in everything for task in choice.tasks} | {Task.CHAT, current}
    return [Tab(route_of(task), LABELS[task], task is current) for task in Task if task in offered]


def route_of(task: Task) -> str:
    """The name of the route of a task's page."""
    return "ui-playground" if task is Task.CHAT else f"ui-playground-{task}"


def _snippet(request: HttpRequest, chosen: Choice | None) -> str:
    if chosen is None:
        return ""
    server = request.build_absolute_uri("/").rstrip("/")
    return snippets.curl(server, chosen.model_id, chosen.kind)


def _address(route: str) -> str:
    """A page's address; empty while there is no such page."""
    try:
        return reverse(route)
    except NoReverseMatch:
        return ""
