"""Why a model is not served, in words."""

from __future__ import annotations

from models_app.models import GgufFile, ServedModel


def why_not_served(model: ServedModel) -> str:
    """Why requests for the model are refused, "" when they are not."""
    if not model.enabled:
        return "Disabled."
    if model.file is None:
        return "" if model.cmd.strip() else "It has no file."
    if not model.file.folder.enabled:
        return "Its folder is disabled."
    if model.file.state == GgufFile.State.OK or model.cmd.strip():
        return ""
    return model.file.problem
