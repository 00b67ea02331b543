"""config.yaml: reading it, writing it, and making commands from its entries. No database."""

from __future__ import annotations

from models_app.config_yaml.commands import ExpandedCommand, expand, tokenise, words
from models_app.config_yaml.errors import ConfigError
from models_app.config_yaml.nodes import MAX_BYTES
from models_app.config_yaml.parse import FIELDS, ParsedConfig, parse
from models_app.config_yaml.reading import read
from models_app.config_yaml.render import dump, render

__all__ = [
    "FIELDS",
    "MAX_BYTES",
    "ConfigError",
    "ExpandedCommand",
    "ParsedConfig",
    "dump",
    "expand",
    "parse",
    "read",
    "render",
    "tokenise",
    "words",
]
