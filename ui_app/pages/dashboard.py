"""Everything that matters on one page: memory, engines, queue, work now and over a day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from downloads_app.models import Download
from models_app import hardware
from models_app.access import needs, rights_of
from models_app.models import ModelFolder, ServedModel
from models_app.rights import Scope
from models_app.within_reach import looked_after
from proxy_app import freshness, questions
from proxy_app.models import UsageHour
from ui_app import memory_bars, model_cards, notices, runtime

HOURS: Final = 24


@dataclass(frozen=True, slots=True)
class Hour:
    """What was done in one hour."""

    start: datetime
    requests: int = 0
    errors: int = 0
    stopped: int = 0
    tokens: int = 0


@needs(Scope.INFERENCE)
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """The dashboard; while nothing is set up, for who may do that, the setup."""
    may_set_up = rights_of(request).manages_all
    is_empty = not ServedModel.objects.exists() and not ModelFolder.objects.exists()
    return redirect("ui-setup" if is_empty and may_set_up else "ui-dashboard")


@needs(Scope.INFERENCE)
@require_safe
@never_cache
def dashboard(request: HttpRequest) -> HttpResponse:
    """The whole server at a glance."""
    may_use = looked_after(rights_of(request))
    now = runtime.now().of(may_use)
    loaded = [status["id"] for status in now.in_state("ready", "starting", "stopping")]
    rows = model_cards.listed().filter(model_id__in=loaded)
    hours = _hours()
    context = {
        "notices": [*notices.notices(now, rights_of(request)), *_of_models(request, now)],
        "bars": memory_bars.of_models(now.devices, now.needs, loaded, _descriptions()),
        "cards": model_cards.cards(rows, now),
        "running": sum(status["inFlight"] for status in now.statuses),
        "waiting": [status for status in now.statuses if status["queued"]],
        "waiting_count": now.waiting,
        "tokens_now": now.tokens_lately / questions.LATELY_SECONDS,
        "requests_day": sum(hour.requests for hour in hours),
        "errors_day": sum(hour.errors for hour in hours),
        "stopped_day": sum(hour.stopped for hour in hours),
        "tokens_day": sum(hour.tokens for hour in hours),
        "points": _points(hours),
        "downloads": _downloads(),
        "models_count": ServedModel.objects.filter(enabled=True).count(),
        "is_busy": any(card.is_busy for card in model_cards.cards(rows, now)),
    }
    return render(request, "ui/dashboard.html", context)


def _of_models(request: HttpRequest, now: runtime.Now) -> list[notices.Notice]:
    return notices.of_models(now) if rights_of(request).manages_all else []


def _descriptions() -> dict[str, str]:
    """What the engine's names of devices stand for."""
    machine = hardware.stored()
    if machine is None:
        return {}
    names = {device.name: device.description for device in machine.devices or ()}
    return {**names, "CPU": machine.cpu.name}


def _hours() -> list[Hour]:
    """The last day, hour by hour, those without requests included."""
    freshness.catch_up()
    last = timezone.now().replace(minute=0, second=0, microsecond=0)
    first = last - timedelta(hours=HOURS - 1)
    sums = (
        UsageHour.objects.filter(start__gte=first)
        .values("start")
        .order_by("start")
        .annotate(
            all=Sum("requests"), failed=Sum("errors"), left=Sum("stopped"), made=Sum("tokens_out")
        )
    )
    found = {
        row["start"]: Hour(row["start"], row["all"], row["failed"], row["left"], row["made"])
        for row in sums
    }
    starts = (first + timedelta(hours=back) for back in range(HOURS))
    return [found.get(start) or Hour(start) for start in starts]


def _points(hours: list[Hour]) -> list[list[float]]:
    """As the chart takes them: times, requests, tokens a second."""
    return [
        [hour.start.timestamp() for hour in hours],
        [hour.requests for hour in hours],
        [round(hour.tokens / 3600, 3) for hour in hours],
    ]


def _downloads() -> list[Download]:
    over = (Download.Status.COMPLETED, Download.Status.CANCELLED)
    return list(Download.objects.exclude(status__in=over)[:5])
