"""A model, a machine and wishes -> how to start its engine, and why. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from models_app.buffers import Load, is_measured
from models_app.command import LaunchOptions
from models_app.devices import Caps, Device, Resources, resources
from models_app.engine_help import EngineFlags
from models_app.launch import launch_options
from models_app.machine import Machine
from models_app.measured import Measured
from models_app.memory import MemoryPlan, Placement
from models_app.placement import CAUTION, SURE_SHARE, Fit, Room, largest_context
from models_app.preferences import Candidate, Choices, Preferences
from models_app.reasons import Reason, Reasons, explain

SLOTS = 4
LEAST_CONTEXT = 512  # below this a chat cannot hold its own template
MOST_EMBEDDING_CONTEXT = 8192
_UNKNOWN_CONTEXT = 4096

_Way = Callable[[Load], Fit | None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How to start an engine. `memory` is what we expect it to take."""

    options: LaunchOptions
    memory: MemoryPlan
    placement: Placement
    devices: tuple[Device, ...]
    """The GPUs it uses, in the order of `memory.gpus`."""
    resources: Resources
    reasons: tuple[Reason, ...]
    context_per_request: int
    """Tokens that one request gets at most."""
    fits: bool
    sure: bool
    """The estimate is exact enough to skip the engine's own fitting."""
    measured: Measured | None = None
    """What the same load took the last time; `memory` stays what was predicted."""

    @property
    def total(self) -> int:
        """Bytes on all devices: measured where it was, else predicted."""
        return self.measured.total if self.measured else self.memory.total


def choose(
    candidate: Candidate,
    machine: Machine,
    preferences: Preferences | None = None,
    choices: Choices | None = None,
    flags: EngineFlags | None = None,
    caps: Caps | None = None,
) -> Plan:
    """The best settings for this model on this machine, or on what `caps` leaves of it."""
    chosen = choices.gpus if choices else ()
    found = resources(machine, preferences or Preferences(), chosen)
    search = _Search(
        candidate,
        found.within(caps) if caps else found,
        preferences or Preferences(),
        choices or Choices(),
        flags or EngineFlags(known=False),
    )
    return search.plan()


class _Search:
    """One planning run: the inputs, and the reasons as they come up."""

    def __init__(
        self,
        candidate: Candidate,
        found: Resources,
        preferences: Preferences,
        choices: Choices,
        flags: EngineFlags,
    ) -> None:
        self.reasons = Reasons()
        if candidate.draft and candidate.projector:
            # Many builds refuse to start with both.
            candidate = replace(candidate, draft=None)
            self.reasons.add("draft", "The draft model is left out: this model has a projector.")
        self.candidate = candidate
        self.shape = candidate.shape
        self.resources = found
        self.preferences = preferences
        self.choices = choices
        self.flags = flags
        factor = 1.0 if self._is_known else CAUTION
        draft = candidate.draft.shape if candidate.draft else None
        self.room = Room(self.shape, found, candidate.companion_bytes, draft, factor)

    def plan(self) -> Plan:
        for note in self.resources.notes:
            self.reasons.add("machine", note)
        if self.choices.gpus and "--device" not in self.flags:
            self.reasons.add(
                "machine",
                "This build of llama-server cannot be told which GPUs to use, so it may use all. "
                "Choose a newer one.",
            )
        target = self._target_context()
        found = self._search(target) or self._search_without_draft(target)
        fits = found is not None
        if found is None:
            found = self._last_resort(target)
        sure = fits and self._is_known and self.room.fullest(found) <= SURE_SHARE
        options = launch_options(
            self.candidate, found, self.resources, self.preferences, self.choices, sure=sure
        )
        explain(self.reasons, self.candidate, found, self.resources, target, fits=fits, sure=sure)
        return Plan(
            options=options,
            memory=found.memory,
            placement=found.placement,
            devices=tuple(self.resources.gpus[number] for number in found.gpus),
            resources=self.resources,
            reasons=self.reasons.all(),
            context_per_request=self._per_request(found.load),
            fits=fits,
            sure=sure,
        )

    @property
    def _is_known(self) -> bool:
        shapes = [self.shape, *([self.candidate.draft.shape] if self.candidate.draft else [])]
        return all(shape.exact and is_measured(shape) for shape in shapes)

    # ---- Context ------------------------------------------------------------------------------
    def _target_context(self) -> int:
        """The context we would like: never above the trained one."""
        trained = self.shape.trained_context
        wanted = self.choices.context or self.preferences.preferred_context
        if self.candidate.is_embedding and not self.choices.context:
            wanted = min(wanted, MOST_EMBEDDING_CONTEXT)
        if trained and wanted > trained:
            self.reasons.add(
                "context",
                f"{wanted} tokens were asked for, but the model was trained on {trained}.",
            )
            return trained
        if not trained and not self.choices.context:
            self.reasons.add(
                "context", "The file does not say what context the model was trained on."
            )
            return min(wanted, _UNKNOWN_CONTEXT)
        return wanted

    def _least_context(self, target: int) -> int:
        if self.choices.context:
            return target
        return min(target, self.preferences.min_context)

    # ---- The ways to load it, best first --------------------------------------------------------
    def _search(self, target: int) -> Fit | None:
        return next((found for found in self._ways(target) if found), None)

    def _search_without_draft(self, target: int) -> Fit | None:
        """The same without a draft model: it only makes a model faster that loads at all."""
        if self.candidate.draft is None:
            return None
        self.candidate = replace(self.candidate, draft=None)
        self.room = replace(self.room, draft=None)
        self.reasons.add("draft", "The draft model is left out: there is no room for it.")
        return self._search(target)

    def _ways(self, target: int) -> Iterator[Fit | None]:
        """Ways that fit, best first.

        1. What a person fixed: the number of GPU layers.
        2. All on GPUs with the wanted context, plain cache and then a smaller one.
        3. Speed first: all on GPUs with at least half the wanted context.
        4. Experts on the CPU.
        5. Speed first: all on GPUs with the least context.
        6. Some layers on GPUs, with the wanted context and then less.
        7. All on the CPU.
        """
        least = self._least_context(target)
        if self.choices.gpu_layers is not None:
            yield self._fixed_layers(target, least)
            return
        fast = self.preferences.throughput_first
        if self.resources.gpus:
            yield from self._at(target, self.room.on_gpus)
            if fast:
                yield self._shrunk(target, max(least, target // 2), self.room.on_gpus)
            yield from self._at(target, self.room.experts_on_cpu)
            if fast:
                yield self._shrunk(target, least, self.room.on_gpus)
            yield from self._at(target, self.room.some_layers)
            yield self._shrunk(target, least, self.room.some_layers)
        yield from self._at(target, self.room.on_cpu)
        yield self._shrunk(target, least, self.room.on_cpu)
        if not self.choices.context:
            yield self._shrunk(least, min(least, LEAST_CONTEXT), self.room.on_cpu)

    def _at(self, context: int, way: _Way) -> Iterator[Fit | None]:
        for load in self._loads(context):
            yield way(load)

    def _shrunk(self, most: int, least: int, way: _Way) -> Fit | None:
        """The largest context that fits, with the smallest cache we are ready to use."""
        return largest_context(most, least, lambda context: way(self._loads(context)[-1]))

    def _fixed_layers(self, target: int, least: int) -> Fit | None:
        count = self.choices.gpu_layers or 0

        def way(load: Load) -> Fit | None:
            found = self.room.layers(load, count)
            return found if self.room.fits(found) else None

        for found in self._at(target, way):
            if found:
                return found
        return self._shrunk(target, least, way)

    def _last_resort(self, target: int) -> Fit:
        """Nothing fits: the smallest thing we would try, for the engine to decide."""
        load = replace(self._load(self._least_context(target), self._cache_types[-1]), repack=False)
        return self.room.layers(load, self.choices.gpu_layers or 0)

    # ---- One way's load -------------------------------------------------------------------------
    @property
    def _cache_types(self) -> tuple[str, ...]:
        if self.choices.cache_type:
            return (self.choices.cache_type,)
        # Quantized keys come in blocks of 32 and need flash attention; without them there is no
        # smaller cache to be had.
        odd = self.shape.key_length % 32 or self.shape.value_length % 32
        if odd or self.shape.is_mla or not any(self.shape.kv_heads):
            return ("f16",)
        return ("f16", "q8_0")

    def _loads(self, context: int) -> list[Load]:
        """Ways to keep the cache of this context, the best and largest first."""
        loads = [self._load(context, cache_type) for cache_type in self._cache_types]
        # Windows and recurrent states are kept for each slot.
        if not self.choices.slots and (any(self.shape.windowed) or any(self.shape.recurrent)):
            loads.append(replace(loads[-1], slots=1))
        return loads

    def _load(self, context: int, cache_type: str) -> Load:
        slots = self.choices.slots or (SLOTS if self.preferences.throughput_first else 2)
        unified = "--kv-unified" in self.flags
        if not unified and not self.choices.slots:
            slots = 1  # each slot would get only its share of the context
        ubatch = min(self.choices.batch_size or 512, context)
        if self.candidate.is_embedding:
            # A text must go through in one piece.
            ubatch = context
        return Load(
            context=context,
            slots=slots,
            unified=unified,
            type_k=cache_type,
            type_v="f16" if self.shape.is_mla else cache_type,
            ubatch=ubatch,
            embedding=self.candidate.is_embedding,
        )

    def _per_request(self, load: Load) -> int:
        share = load.context if load.unified else load.context // load.slots
        return min(share, self.shape.trained_context or share)
