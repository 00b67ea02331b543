"""`manage.py plan MODEL`: how a model would be started, and why."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from models_app.memory import Use
from models_app.models import ServedModel
from models_app.plans import PlanContext, describe, find_model, plan_for, text_of
from models_app.reasons import size
from models_app.tuning import Plan
from models_app.what_if import NAMES, BadWish, read_wishes


class Command(BaseCommand):
    help = "Show how a model would be started on this machine, what it takes, and why."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("model", help="id or alias of the model")
        parser.add_argument(
            "wishes",
            nargs="*",
            metavar="NAME=VALUE",
            help=f"what if it were otherwise: {', '.join(NAMES)}",
        )
        parser.add_argument("--json", action="store_true", help="for programs")

    def handle(self, *args: Any, model: str, wishes: list[str], **options: Any) -> None:
        row = find_model(model)
        if row is None:
            known = ", ".join(ServedModel.objects.values_list("model_id", flat=True)[:20])
            raise CommandError(f"There is no model {model}. There are: {known or 'none yet'}.")
        context = PlanContext.load().of(row)
        try:
            pairs = dict(_pair(wish) for wish in wishes)
            plan = plan_for(row, context, read_wishes(pairs))
        except BadWish as error:
            raise CommandError(str(error)) from error
        except ValueError as error:
            raise CommandError(f"{error}.") from error
        if options["json"]:
            self.stdout.write(json.dumps(describe(plan, context), indent=2))
        else:
            self.stdout.write("\n".join([text_of(plan, context), "", *_lines(plan)]))


def _pair(wish: str) -> tuple[str, str]:
    name, equals, value = wish.partition("=")
    if not equals:
        raise BadWish(f"{wish} must be written as NAME=VALUE.")
    return name, value


def _lines(plan: Plan) -> list[str]:
    rooms = [("CPU", plan.resources.ram), *((one.name, one.budget) for one in plan.devices)]
    uses = (plan.memory.cpu, *plan.memory.gpus)
    loads = plan.measured.devices if plan.measured else (None,) * len(uses)
    lines = [
        _line(name, room, use, load.measured if load else None)
        for (name, room), use, load in zip(rooms, uses, loads, strict=True)
    ]
    return [*lines, "", *(f"{reason.topic:>10}  {reason.text}" for reason in plan.reasons)]


def _line(name: str, room: int, use: Use, measured: int | None) -> str:
    parts = {
        "weights": use.weights,
        "copies": use.repacked,
        "cache": use.cache,
        "state": use.state,
        "compute": use.compute,
        "companions": use.extra,
    }
    words = ", ".join(f"{what} {size(count)}" for what, count in parts.items() if count)
    taken = f"measured {size(measured)}, predicted " if measured is not None else ""
    return f"{name:>10}  {taken}{size(use.total)} of {size(room)}: {words}"
