"""Plans for the models of the database: rows in, plan or command text out."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

from django.conf import settings

from models_app import drafts, engine_build, experience, gpu_choice, hardware, learned, rungs
from models_app.buffers import projector_scratch
from models_app.command import build_argv, command_line
from models_app.devices import Device, choosable
from models_app.engine_help import EngineDevice, EngineFlags
from models_app.facts import FileFacts
from models_app.hardware import GIB, Machine
from models_app.measured import Measured
from models_app.memory import Use
from models_app.models import EngineBuild, GgufFile, ServedModel, ServerSettings
from models_app.preferences import Candidate, Choices, Companion, Draft, Preferences
from models_app.same_devices import same_devices
from models_app.shape import ModelShape, join
from models_app.shape_guess import guess_shape
from models_app.tuning import Plan, choose
from models_app.what_if import Wishes

DEFAULT_BINARY = "llama-server"
MOST_LESSONS = 4
"""How often one planning run may make room because a load once took more than was predicted."""


@dataclass(frozen=True, slots=True)
class PlanContext:
    """What all plans have in common: read once, then used for every model."""

    machine: Machine
    preferences: Preferences
    flags: EngineFlags
    binary: str = DEFAULT_BINARY
    """Path of llama-server; its bare name while none was found."""
    known: learned.Known = field(default_factory=dict)
    """What loads with this build really took."""
    # Not an argument: a context that was made of another one plans for another machine.
    _pinned: dict[int, PlanContext] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )

    @classmethod
    def load(cls) -> PlanContext:
        """From the database. A machine that was never stored is read now."""
        build = EngineBuild.objects.filter(active=True).first()
        machine = hardware.stored() or hardware.detect()
        if machine.devices is None and build:
            devices = tuple(EngineDevice.from_dict(device) for device in build.devices)
            machine = replace(machine, devices=devices)
        return cls(
            machine=machine,
            preferences=preferences_of(ServerSettings.current()),
            flags=engine_build.flags_of(build),
            binary=build.path if build else DEFAULT_BINARY,
            known=learned.known(learned.Build.of_row(build)) if build else {},
        )

    def of(self, model: ServedModel) -> PlanContext:
        """The same with the build that the model is pinned to, if it is."""
        return self.of_build(model.engine) if model.engine else self

    def of_build(self, build: EngineBuild) -> PlanContext:
        """The same with another build, which may see other devices or name them otherwise."""
        if build.path == self.binary:
            return self
        if build.pk not in self._pinned:
            devices = tuple(EngineDevice.from_dict(device) for device in build.devices)
            self._pinned[build.pk] = replace(
                self,
                machine=replace(self.machine, devices=_as_free(devices, self.machine)),
                flags=engine_build.flags_of(build),
                binary=build.path,
                known=learned.known(learned.Build.of_row(build)),
            )
        return self._pinned[build.pk]


def _as_free(devices: tuple[EngineDevice, ...], machine: Machine) -> tuple[EngineDevice, ...]:
    """A build's devices with the free memory that is planned with on this machine.

    What the build itself saw is of the moment of its trial, when other engines may have run.
    """
    ours = {device.name: device for device in machine.devices or ()}
    names = same_devices(devices, machine.devices or ())
    return tuple(
        replace(device, free=min(device.total, ours[names[device.name]].free))
        if device.name in names
        else device
        for device in devices
    )


def preferences_of(row: ServerSettings) -> Preferences:
    """The server's wishes. The environment (and command line) wins over what was saved."""
    vram = settings.CLARACORE_VRAM_GIB
    ram = settings.CLARACORE_RAM_GIB
    return Preferences(
        preferred_context=row.preferred_context,
        min_context=row.min_context,
        throughput_first=row.throughput_first,
        enable_jinja=row.enable_jinja,
        backend=settings.CLARACORE_BACKEND or row.backend,
        vram=_bytes(row.vram_gb if vram is None else vram),
        ram=_bytes(row.ram_gb if ram is None else ram),
    )


def _bytes(gibibytes: float | None) -> int | None:
    return None if gibibytes is None else int(gibibytes * GIB)


def plan_for(model: ServedModel, context: PlanContext, wishes: Wishes | None = None) -> Plan:
    """How this model's engine would be started, with `wishes` in place of what is set.

    Raises ValueError when the model has no file.
    """
    context = context.of(model)
    machine, preferences, choices = context.machine, context.preferences, choices_of(model)
    if wishes:
        preferences, choices = wishes.apply(preferences, choices)
        if wishes.preferences.get("vram") and not machine.devices:
            # A GPU that is not there can only be wished for.
            machine = replace(machine, devices=None, gpus=())
    candidate = candidate_of(model)
    again = partial(choose, candidate, machine, preferences, choices, context.flags)
    plan = again(rungs.caps_of(model, context.machine))
    for _ in range(MOST_LESSONS):
        measured = _measured(plan, model, candidate, context)
        if measured is None:
            return plan
        caps = experience.caps_below(plan, measured)
        smaller = again(caps) if caps else None
        if smaller is None or not smaller.fits:
            return experience.noted(plan, measured)
        plan = smaller
    return plan


def _measured(
    plan: Plan, model: ServedModel, candidate: Candidate, context: PlanContext
) -> Measured | None:
    """What the same load took the last time it was measured, if it ever was."""
    assert model.file is not None
    records = context.known.get(model.file.pk)
    found = records.get(key_of(plan, model.file, candidate, context)) if records else None
    return experience.matched(plan, found) if found else None


def key_of(plan: Plan, file: GgufFile, candidate: Candidate, context: PlanContext) -> learned.Key:
    """Under what a load that follows this plan is remembered."""
    return learned.Key(
        contents=learned.contents_of(file, candidate),
        options=learned.options_of(build_argv(context.binary, plan.options, context.flags)),
        device=learned.device_of(context.machine.cpu.name, plan),
    )


def command_text(model: ServedModel, context: PlanContext) -> str:
    """The model's command, an option a line, with `${PORT}` where the port goes."""
    return text_of(plan_for(model, context), context.of(model))


def text_of(plan: Plan, context: PlanContext) -> str:
    """The command that carries out a plan."""
    return command_line(build_argv(context.binary, plan.options, context.flags))


def find_model(name: str) -> ServedModel | None:
    """The model with this id or alias."""
    rows = ServedModel.objects.select_related(
        "file__projector", "file__draft", "projector", "draft", "engine"
    )
    return rows.filter(model_id=name).first() or rows.filter(aliases__alias=name).first()


def describe(plan: Plan, context: PlanContext) -> dict[str, Any]:
    """A plan as plain values: sizes in bytes, reasons in words."""
    devices = [{"device": "CPU", "room": plan.resources.ram, **_use(plan.memory.cpu)}]
    for device, use in zip(plan.devices, plan.memory.gpus, strict=True):
        devices.append({"device": device.name, "room": device.budget, **_use(use)})
    loads = plan.measured.devices if plan.measured else (None,) * len(devices)
    for values, load in zip(devices, loads, strict=True):
        values["measured"] = load.measured if load else None
    return {
        "fits": plan.fits,
        "sure": plan.sure,
        "contextPerRequest": plan.context_per_request,
        "command": text_of(plan, context),
        "memory": devices,
        "totalBytes": plan.total,
        "predicted": plan.memory.total,
        **_measurement(plan.measured),
        "reasons": [{"topic": reason.topic, "text": reason.text} for reason in plan.reasons],
    }


def _measurement(measured: Measured | None) -> dict[str, Any]:
    """What the load took the last time: bytes, how far off the prediction was (-0.1 is 10 % too
    low), seconds. Nothing but null while it never was measured."""
    return {
        "measured": measured.total if measured else None,
        "error": round(measured.error, 4) if measured else None,
        "measuredAt": measured.at.isoformat() if measured else None,
        "loadSeconds": round(measured.load_seconds, 3) if measured else None,
    }


def _use(use: Use) -> dict[str, int]:
    return {**asdict(use), "total": use.total}


def candidate_of(model: ServedModel) -> Candidate:
    """The model as planning sees it. Raises ValueError when it has no file."""
    if model.file is None:
        raise ValueError(f"{model.model_id} has no file to plan for")
    facts = FileFacts.from_json(model.file.facts)
    return Candidate(
        model_id=model.model_id,
        path=model.file.path,
        shape=_shape(model.file, facts),
        kind=facts.kind,
        pooling=facts.pooling,
        projector=_companion(model.projector_file()),
        draft=_draft(model.draft_file(), facts),
    )


def _shape(file: GgufFile, facts: FileFacts) -> ModelShape:
    """The shape of the file, with all its parts when it is split."""
    if not facts.shape:
        return guess_shape(facts, file.size)
    first = ModelShape.from_json(facts.shape)
    if facts.split_count == 1:
        return first
    # Sorted here: an order of the database's would ignore parts that were read for all models.
    later = sorted(file.later_parts.all(), key=lambda part: part.split_no or 0)
    parts = [part.facts.get("shape") for part in later]
    return join([first, *(ModelShape.from_json(part) for part in parts if part)])


def _companion(file: GgufFile | None) -> Companion | None:
    """The projector, with the scratch memory it needs."""
    if file is None:
        return None
    shape = file.facts.get("shape")
    scratch = projector_scratch(ModelShape.from_json(shape)) if shape else 0
    return Companion(file.path, file.size + scratch)


def _draft(file: GgufFile | None, target: FileFacts) -> Draft | None:
    """The draft model, unless the engine would not let it guess for `target`."""
    if file is None:
        return None
    facts = FileFacts.from_json(file.facts)
    return Draft(file.path, _shape(file, facts)) if drafts.may_draft(facts, target) else None


def gpus_to_choose(build: EngineBuild | None) -> tuple[Device, ...]:
    """The GPUs that a model can be bound to which runs with a build, or with the active one."""
    context = PlanContext.load()
    context = context.of_build(build) if build else context
    return choosable(context.machine, context.preferences)


def choices_of(model: ServedModel) -> Choices:
    """What a person set on the model's row."""
    return Choices(
        context=model.context,
        gpus=gpu_choice.words_of(model.gpus),
        gpu_layers=model.gpu_layers,
        cache_type=model.cache_type,
        batch_size=model.batch_size,
        slots=model.slots,
        chat_template=model.chat_template,
        load_mode=model.load_mode,
        extra_arguments=_words(model.extra_arguments),
    )


def _words(text: str) -> tuple[str, ...]:
    """Arguments as a shell would read them; with an unclosed quote, split at blanks."""
    try:
        return tuple(shlex.split(text))
    except ValueError:
        return tuple(text.split())
