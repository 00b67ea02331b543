"""What of the models is within a caller's reach, and its place among those who wait."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from proxy_app import limits
from proxy_app.access_errors import ModelNotAllowed
from proxy_app.keys import Caller
from proxy_app.limits import Account
from proxy_app.lineup import Lineup


def check_allowed(caller: Caller, lineup: Lineup, model: str, asked_for: str) -> None:
    """Raises ModelNotAllowed for a key that is limited to other models.

    A virtual model may be allowed by its own name: then its members are by way of it.
    """
    if not caller.rights.is_limited or may_use(caller, lineup, model):
        return
    if asked_for in lineup.virtual and asked_for in caller.rights.models:
        return
    raise ModelNotAllowed(asked_for or model)


def may_use(caller: Caller, lineup: Lineup, model: str) -> bool:
    """Whether a model, by its id, is within reach."""
    rights = caller.rights
    if not rights.is_limited or model in rights.models:
        return True
    return bool(rights.groups) and lineup.group_of.get(model) in rights.groups


def visible(caller: Caller, lineup: Lineup) -> Lineup:
    """The line-up with only those models that the caller may use."""
    if not caller.rights.is_limited:
        return lineup
    models = {
        model: served for model, served in lineup.models.items() if may_use(caller, lineup, model)
    }
    virtual = {
        name: members
        for name, members in lineup.virtual.items()
        if name in caller.rights.models or models.keys() >= set(members)
    }
    names = {name: model for name, model in lineup.names.items() if model in models}
    return replace(lineup, models=models, names=names, virtual=virtual)


def allowed_items(caller: Caller, lineup: Lineup, answer: dict[str, Any]) -> dict[str, Any]:
    """A list of models, as an answer holds it, without those out of reach."""
    if not caller.rights.is_limited:
        return answer
    kept = {
        name: [item for item in value if may_use(caller, lineup, item["model"])]
        for name, value in answer.items()
        if isinstance(value, list)
    }
    if "total" in answer:
        return {**kept, "total": sum(map(len, kept.values()))}
    return kept


def place_in_queue(caller: Caller, account: Account | None) -> tuple[str, int | None]:
    """Whose turn a request takes, and its priority. A larger share are several callers."""
    if account is None:
        return caller.share, None
    share = caller.share
    if account.limits.share > 1:
        share = f"{share}/{limits.next_lane(account)}"
    return share, account.limits.priority
