"""What of the models is within a caller's reach, and its place among those who wait."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from models_app.rights import Bound
from proxy_app.access_errors import ModelNotAllowed
from proxy_app.errors import ModelNotFound
from proxy_app.keys import Caller
from proxy_app.limits import Account, next_lane
from proxy_app.lineup import Lineup


def check_allowed(caller: Caller, lineup: Lineup, model: str, asked_for: str) -> None:
    """Raises ModelNotAllowed for a key or person who is limited to other models.

    A virtual model may be allowed by its own name: then its members are by way of it.
    """
    if not caller.rights.is_limited:
        return
    group, virtual = lineup.group_of.get(model), asked_for in lineup.virtual
    for bound in caller.rights.bounds:
        if not bound.holds(model, group) and not (virtual and asked_for in bound.models):
            raise ModelNotAllowed(asked_for)


def check_managed(caller: Caller, lineup: Lineup, model: str, asked_for: str) -> None:
    """Raises ModelNotAllowed for who looks after other models only."""
    if not may_manage(caller, lineup, model):
        raise ModelNotAllowed(asked_for)


def may_manage(caller: Caller, lineup: Lineup, model: str) -> bool:
    """Whether a model, by its id, is among those that a caller looks after."""
    return caller.rights.manages_all or may_use(caller, lineup, model)


def may_use(caller: Caller, lineup: Lineup, model: str) -> bool:
    """Whether a model, by its id, is within reach."""
    return caller.rights.may_use(model, lineup.group_of.get(model))


def visible(caller: Caller, lineup: Lineup) -> Lineup:
    """The line-up with only those models that the caller may use."""
    if not caller.rights.is_limited:
        return lineup
    models = {
        model: served for model, served in lineup.models.items() if may_use(caller, lineup, model)
    }
    virtual = {
        name: tuple(member for member in members if member in models)
        for name, members in lineup.virtual.items()
        if all(_holds_virtual(bound, name, lineup) for bound in caller.rights.bounds)
    }
    names = {name: model for name, model in lineup.names.items() if model in models}
    return replace(lineup, models=models, names=names, virtual=virtual)


def _holds_virtual(bound: Bound, name: str, lineup: Lineup) -> bool:
    """Whether it is allowed itself, or each of its members."""
    members = lineup.virtual[name]
    return name in bound.models or all(
        bound.holds(member, lineup.group_of.get(member)) for member in members
    )


def only_within(error: ModelNotFound, caller: Caller, lineup: Lineup) -> ModelNotFound:
    """The same error, naming nothing that is out of reach."""
    if not caller.rights.is_limited:
        return error
    seen = visible(caller, lineup)
    similar = [name for name in error.similar if name in seen.names or name in seen.virtual]
    return ModelNotFound(error.model, similar)


def allowed_items(caller: Caller, lineup: Lineup, answer: dict[str, Any]) -> dict[str, Any]:
    """A list of models, as an answer holds it, without those out of reach."""
    if not caller.rights.is_limited:
        return answer
    kept = {
        name: allowed(caller, lineup, value, "model")
        for name, value in answer.items()
        if isinstance(value, list)
    }
    if "total" in answer:
        return {**kept, "total": sum(map(len, kept.values()))}
    return kept


def allowed(
    caller: Caller, lineup: Lineup, items: list[dict[str, Any]], key: str = "id"
) -> list[dict[str, Any]]:
    """Those of some items whose model, named by `key`, is within reach."""
    if not caller.rights.is_limited:
        return items
    return [item for item in items if may_use(caller, lineup, item[key])]


def queue_within(caller: Caller, lineup: Lineup, told: dict[str, Any]) -> dict[str, Any]:
    """The queue as `queues.queue` tells of it, of those models that a caller looks after."""
    if caller.rights.manages_all:
        return told
    models = [one for one in told["models"] if may_manage(caller, lineup, one["model"])]
    return {**told, "models": models, "waiting": sum(one["queued"] for one in models)}


def plan_within(caller: Caller, lineup: Lineup, plan: dict[str, Any]) -> dict[str, Any]:
    """What a load would do, as `queues.load_plan` tells of it, naming no model out of reach."""
    if caller.rights.manages_all:
        return plan
    named = {
        name: [model for model in plan[name] if may_manage(caller, lineup, model)]
        for name in ("evicts", "waitsFor", "behind")
    }
    return {**plan, **named}


def place_in_queue(caller: Caller, accounts: Sequence[Account]) -> tuple[str, int | None]:
    """Whose turn a request takes, and its priority. A larger share are several callers.

    `accounts` are those it counts against. Of a key with limits, its own comes first.
    """
    limits = caller.limits
    if limits is None:
        return caller.share, None
    if limits.share > 1:
        # Given to this key, and so no part of its person's turn.
        return f"key {caller.key_id}/{next_lane(accounts[0])}", limits.priority
    return caller.share, limits.priority
