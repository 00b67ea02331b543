"""What people choose a model by, as its file tells it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models_app.admin import display


def told(facts: Mapping[str, Any]) -> dict[str, str]:
    """Rows for the table of a model's facts; what the file does not say is left out of it."""
    skills = [name for name in ("tools", "reasoning") if facts.get(name)]
    scaling = facts.get("rope_scaling") or ""
    if scaling and (factor := facts.get("rope_scaling_factor")):
        scaling = f"{scaling}, {factor:g} times"
    context = facts.get("rope_original_context")
    if scaling and context:
        scaling += f", from {display.tokens(context)} tokens"
    return {
        "its template knows": ", ".join(skills),
        "position scaling": scaling,
        "licence": facts.get("licence") or "",
        "base model": ", ".join(facts.get("base_models") or ()),
    }
