"""Plans of models as the admin shows them. Common facts are read once, and only when needed."""

from __future__ import annotations

from functools import cached_property
from typing import Final

from django.db.models import Prefetch
from django.utils.html import format_html
from django.utils.safestring import SafeString

from models_app import plans
from models_app.admin import display
from models_app.models import GgufFile, ServedModel
from models_app.tuning import Plan

_READ: Final = ("id", "path", "relative_path", "size", "state", "kind", "facts")

UNREAD: Final = tuple(
    f"{companion}__{column.name}"
    for companion in ("file__projector", "file__draft", "projector", "draft")
    for column in GgufFile._meta.concrete_fields
    if column.name not in _READ
)
"""What no plan reads of the files beside a model's own: some sixty columns of four more tables."""

PARTS = Prefetch("file__later_parts", GgufFile.objects.order_by("split_no"))
"""What a plan reads of a split model, in one query for all of them."""


class Planner:
    """Works out plans, each model's once."""

    def __init__(self) -> None:
        self._plans: dict[int, Plan | str] = {}

    @cached_property
    def context(self) -> plans.PlanContext:
        return plans.PlanContext.load()

    def plan(self, model: ServedModel) -> Plan | str | None:
        """The plan; why there is none; None for a model that is not planned at all."""
        if not model.pk or model.cmd.strip() or model.file is None or not model.file.facts:
            return None
        if model.pk not in self._plans:
            try:
                self._plans[model.pk] = plans.plan_for(model, self.context)
            except ValueError as error:
                self._plans[model.pk] = f"None can be made: {error}."
        return self._plans[model.pk]

    def tokens(self, model: ServedModel) -> str:
        """The context its engine is given."""
        plan = self.plan(model)
        if isinstance(plan, Plan) and plan.options.context:
            return display.tokens(plan.options.context)
        return display.tokens(model.context)

    def memory(self, model: ServedModel) -> SafeString | str:
        """How much it takes, and where: "5.1 GiB VRAM + 300 MiB RAM"."""
        plan = self.plan(model)
        if not isinstance(plan, Plan):
            return plan or ("own command" if model.cmd.strip() else display.NOTHING)
        vram = sum(use.total for use in plan.memory.gpus)
        places = [(vram, "VRAM"), (plan.memory.cpu.total, "RAM")]
        text = " + ".join(f"{display.size(count)} {name}" for count, name in places if count)
        if plan.fits:
            return text or display.NOTHING
        return format_html('{} <span class="state" data-tone="bad">does not fit</span>', text)

    def command(self, model: ServedModel) -> str:
        """The command that carries out the plan; "" without one."""
        plan = self.plan(model)
        if not isinstance(plan, Plan):
            return ""
        return plans.text_of(plan, self.context.of(model))

    def reasons(self, model: ServedModel) -> str:
        """Why it is planned so, a reason a line."""
        plan = self.plan(model)
        if isinstance(plan, Plan):
            return "\n".join(f"{reason.topic}: {reason.text}" for reason in plan.reasons)
        return plan or ""
