"""The registry in the Django admin, one module a noun. Facts are shown, choices are edited."""

from __future__ import annotations

import django.contrib.auth.admin  # noqa: F401 - registers what is taken away below
from django.contrib import admin
from django.contrib.auth.models import Group

from models_app.admin import (
    api_keys,
    audit,
    engines,
    files,
    folders,
    groups,
    loads,
    machine,
    nodes,
    people,
    revisions,
    scans,
    served,
    settings,
    virtual,
)

__all__ = [
    "api_keys",
    "audit",
    "engines",
    "files",
    "folders",
    "groups",
    "loads",
    "machine",
    "nodes",
    "people",
    "revisions",
    "scans",
    "served",
    "settings",
    "virtual",
]

# Rights go by role, and two lists called "Groups" would be mistaken for each other.
admin.site.unregister(Group)
