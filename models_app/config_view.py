"""The configuration as the API shows it: plain values, macros filled in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings

from models_app import secrecy
from models_app.config_yaml import ConfigError
from models_app.config_yaml.commands import macros_of, resolved
from models_app.document import DEFAULT_GROUP, ConfigDocument, GroupEntry, ModelEntry


def shown(document: ConfigDocument) -> dict[str, Any]:
    """The whole configuration without its secrets.

    `${PORT}` stays: ports are given out when engines start.
    """
    grouped = {member for group in document.groups.values() for member in group.members}
    rest = GroupEntry(DEFAULT_GROUP, members=tuple(sorted(document.models.keys() - grouped)))
    groups = {DEFAULT_GROUP: rest, **document.groups}
    told = {
        "healthCheckTimeout": document.health_check_timeout,
        "logLevel": document.log_level,
        "startPort": document.start_port,
        "downloadDir": download_folder(document),
        "globalTTL": document.global_ttl,
        "macros": dict(document.macros),
        "models": {name: _model(entry, document) for name, entry in document.models.items()},
        "groups": {name: _group(entry, document) for name, entry in groups.items()},
    }
    return secrecy.hidden(told)


def download_folder(document: ConfigDocument) -> str:
    """Where downloads go: the folder that was set, else the one in the server's home."""
    return document.download_dir or str(Path(settings.CLARACORE_HOME) / "models")


def _model(entry: ModelEntry, document: ConfigDocument) -> dict[str, Any]:
    return {
        "name": entry.name,
        "description": entry.description,
        "cmd": _filled(entry, "cmd", document),
        "cmdStop": _filled(entry, "cmd_stop", document),
        "proxy": _filled(entry, "proxy", document),
        "checkEndpoint": _filled(entry, "check_endpoint", document),
        "aliases": list(entry.aliases),
        "env": list(entry.env),
        "ttl": document.global_ttl if entry.ttl is None else entry.ttl,
        "unlisted": entry.unlisted,
        "useModelName": entry.use_model_name,
        "concurrencyLimit": entry.concurrency_limit,
        "filters": {"stripParams": ", ".join(entry.strip_params)},
        "metadata": dict(entry.metadata),
    }


def _filled(entry: ModelEntry, name: str, document: ConfigDocument) -> str:
    try:
        return resolved(entry, name, macros_of(entry, document)).replace(
            "${MODEL_ID}", entry.model_id
        )
    except ConfigError:
        return str(getattr(entry, name))  # what is wrong with it is told where it is started


def _group(entry: GroupEntry, document: ConfigDocument) -> dict[str, Any]:
    return {
        "swap": entry.swap,
        "exclusive": entry.exclusive,
        "persistent": entry.persistent,
        "members": list(entry.members),
        "startPort": entry.start_port or document.start_port,
    }
