"""The registry in the Django admin, one module a noun. Facts are shown, choices are edited."""

from __future__ import annotations

from models_app.admin import (
    engines,
    files,
    folders,
    groups,
    machine,
    revisions,
    scans,
    served,
    settings,
)

__all__ = [
    "engines",
    "files",
    "folders",
    "groups",
    "machine",
    "revisions",
    "scans",
    "served",
    "settings",
]
