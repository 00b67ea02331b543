"""What is served, worked out from the configuration document (pure).

The gateway asks it for names, the runner for commands and the scheduler for limits; all three
see the same state, because a changed configuration replaces the whole line-up at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

from models_app.config_yaml import ConfigError, expand
from models_app.devices import Device
from models_app.document import DEFAULT_GROUP, ConfigDocument, ModelEntry
from proxy_app.bodies import Rewrite
from proxy_app.budget import Bytes
from proxy_app.engine_rules import EngineRules
from proxy_app.errors import ModelNotFound
from proxy_app.eviction import PINNED, Group, Groups
from proxy_app.reservation import ROOM_GUESSED, Room, room_of
from proxy_app.rules import GatewayRules
from proxy_app.seats import Limits, Policy
from proxy_app.upstream_connection import UpstreamTimeouts

DEFAULT_CONCURRENCY = 10
"""Requests one model serves at once unless its entry says otherwise."""

UNMEASURED = Group(DEFAULT_GROUP)
"""Where a model of the default group is while nobody knows what it takes: not side by side."""

LONGEST_COMPARED = 100
"""Characters of an unknown name that are compared with the known ones and shown."""

PORT = "${PORT}"
"""Stands in a command until the engine's port is known."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How an engine is started. Two equal ones need no restart."""

    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    proxy: str
    check_endpoint: str
    stop_argv: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Served:
    """One model as the gateway and the runner see it."""

    entry: ModelEntry
    launch: Launch | None
    problem: str
    """Why it cannot be started; empty when it can."""
    rewrite: Rewrite
    timeouts: UpstreamTimeouts = field(default_factory=UpstreamTimeouts)
    start_port: int | None = None
    """Where its group's ports begin; None: where the server's do."""
    unload_timeout: int | None = None
    """Seconds its engine may take to stop; None: as many as it is given anyway."""
    room: Room = ROOM_GUESSED
    """How many tokens its engine holds."""


@dataclass(frozen=True, slots=True)
class QueueRules:
    """How long requests may wait and what models share, from settings and hardware."""

    max_wait: float = 20
    min_residency: float = 0
    length: int = 256
    side_by_side: bool = False
    """Whether models in no group may be loaded beside each other."""
    memory_wait: float = 5
    budget: Bytes = field(default_factory=dict)
    devices: tuple[Device, ...] = ()


@dataclass(frozen=True, slots=True)
class Lineup:
    """All models, every name they answer to, and the scheduler's policy."""

    models: Mapping[str, Served] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)
    start_timeout: float = 300
    start_port: int = 8100
    log_level: str = "info"
    preload: tuple[str, ...] = ()
    engines: EngineRules = field(default_factory=EngineRules)
    memory_wait: float = 5
    """Seconds a load waits at most for memory to be given back."""
    devices: tuple[Device, ...] = ()
    """The GPUs with memory of their own."""
    virtual: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Names that stand for the first loaded one of some models, else for the first."""
    rules: GatewayRules = field(default_factory=GatewayRules)
    group_of: Mapping[str, str] = field(default_factory=dict)
    """The named group of each model that is in one."""

    def pinned(self) -> set[str]:
        return {model for model, limits in self.policy.models.items() if limits.pinned}

    def resolve(self, name: str) -> Served:
        """The model that answers to a name. Raises ModelNotFound with what comes close."""
        model = self.names.get(name)
        if model is None:
            known = (*self.names, *self.virtual)
            similar = get_close_matches(name[:LONGEST_COMPARED], known, n=3, cutoff=0.5)
            raise ModelNotFound(name[:LONGEST_COMPARED], similar)
        return self.models[model]


def line_up(
    document: ConfigDocument,
    rules: QueueRules | None = None,
    engines: EngineRules | None = None,
    gateway: GatewayRules | None = None,
    virtual: Mapping[str, Sequence[str]] | None = None,
) -> Lineup:
    """The line-up of a document.

    `virtual` are names that stand for the first loaded one of some models; real names win.
    """
    rules = rules or QueueRules()
    gateway = gateway or GatewayRules()
    starts = {
        member: group.start_port for group in document.groups.values() for member in group.members
    }
    models = {
        model: replace(_served(entry, document, gateway), start_port=starts.get(model))
        for model, entry in document.models.items()
    }
    names = {name: model for model, served in models.items() for name in served.rewrite.set_by_id}
    names |= {alias: model for model, entry in document.models.items() for alias in entry.aliases}
    names.update({model: model for model in document.models})
    return Lineup(
        models=models,
        names=names,
        policy=Policy(
            models={
                model: _limits(entry, document, rules) for model, entry in document.models.items()
            },
            groups=_groups(document, rules),
            max_wait=rules.max_wait,
            min_residency=rules.min_residency,
            budget=rules.budget,
        ),
        start_timeout=document.health_check_timeout,
        start_port=document.start_port,
        log_level=document.log_level,
        preload=_preload(document),
        engines=engines or EngineRules(),
        memory_wait=rules.memory_wait,
        devices=rules.devices,
        rules=gateway,
        virtual=_virtual(virtual or {}, names),
        group_of={
            member: name for name, group in document.groups.items() for member in group.members
        },
    )


def _virtual(
    given: Mapping[str, Sequence[str]], names: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    """The virtual models that have a member which is served, with those members."""
    found = {
        name: tuple(dict.fromkeys(names[member] for member in members if member in names))
        for name, members in given.items()
        if name not in names
    }
    return {name: members for name, members in found.items() if members}


def _served(entry: ModelEntry, document: ConfigDocument, gateway: GatewayRules) -> Served:
    launch, problem, change = None, "", Rewrite(entry.use_model_name, entry.strip_params)
    try:
        command = expand(entry, document, PORT)
        launch = Launch(
            argv=tuple(command.argv),
            env=tuple(_variable(item) for item in entry.env),
            proxy=command.proxy,
            check_endpoint=command.check_endpoint,
            stop_argv=command.cmd_stop,
        )
        change = Rewrite(
            entry.use_model_name,
            command.strip_params,
            command.set_params,
            command.set_params_by_id,
        )
    except ConfigError as error:
        problem = str(error)
    unload_timeout = (
        document.unload_timeout if entry.unload_timeout is None else entry.unload_timeout
    )
    timeouts = gateway.timeouts_for(entry.timeouts)
    room = room_of(launch.argv) if launch else ROOM_GUESSED
    return Served(
        entry, launch, problem, change, timeouts, unload_timeout=unload_timeout, room=room
    )


def _variable(item: str) -> tuple[str, str]:
    name, _, value = item.partition("=")
    return name.strip(), value


def _limits(entry: ModelEntry, document: ConfigDocument, rules: QueueRules) -> Limits:
    return Limits(
        concurrency=entry.concurrency_limit or DEFAULT_CONCURRENCY,
        queue=entry.queue_length or rules.length,
        ttl=0 if entry.pinned else document.global_ttl if entry.ttl is None else entry.ttl,
        priority=entry.priority,
        pinned=entry.pinned,
        need=entry.memory.devices if entry.memory else {},
    )


def _preload(document: ConfigDocument) -> tuple[str, ...]:
    """Pinned models first: they are the ones that stay."""
    pinned = [model for model, entry in document.models.items() if entry.pinned]
    return tuple(dict.fromkeys((*pinned, *document.preload)))


def _groups(document: ConfigDocument, rules: QueueRules) -> Groups:
    of_model = {}
    for entry in document.groups.values():
        group = Group(entry.name, entry.swap, entry.exclusive, entry.persistent)
        of_model.update(dict.fromkeys(entry.members, group))
    for model, served in document.models.items():
        if served.pinned:
            of_model[model] = PINNED
        elif rules.side_by_side and served.memory is None:
            of_model.setdefault(model, UNMEASURED)
    return Groups(Group(DEFAULT_GROUP, swap=not rules.side_by_side), of_model)


def with_measured(lineup: Lineup, measured: Mapping[str, Bytes]) -> Lineup:
    """The same line-up with what models really took since the configuration was read."""
    policy, groups = lineup.policy, lineup.policy.groups
    models = {
        model: replace(limits, need=measured[model]) if model in measured else limits
        for model, limits in policy.models.items()
    }
    of_model = {
        model: group
        for model, group in groups.of_model.items()
        if group is not UNMEASURED or model not in measured
    }
    policy = replace(policy, models=models, groups=replace(groups, of_model=of_model))
    return replace(lineup, policy=policy)
