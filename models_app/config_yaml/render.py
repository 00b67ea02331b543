"""ConfigDocument -> config.yaml: the same document always gives the same text."""

from __future__ import annotations

from collections.abc import Mapping
from io import StringIO
from typing import Any, Final

import yaml

from models_app.config_yaml import library
from models_app.config_yaml.scalars import looks_special
from models_app.document import DEFAULT_CHECK_ENDPOINT, ConfigDocument, GroupEntry, ModelEntry

HEADER: Final = """\
# The configuration of ClaraCore. Edit it: a running server takes it over within two seconds, or
# says on its page and in its log what is wrong. Your text stays as it is until something is
# changed elsewhere; then this file is written anew, without comments, and yours is kept beside it.
"""

_NEVER_FOLD: Final = 2**30


def render(document: ConfigDocument) -> str:
    """The text of a document, models and groups sorted by name. `parse` gives the document back."""
    return HEADER + "\n" + dump(tree_of(document))


def tree_of(document: ConfigDocument) -> dict[str, Any]:
    """A document as plain values, in the order in which they are written."""
    tree: dict[str, Any] = {
        "healthCheckTimeout": document.health_check_timeout,
        "logLevel": document.log_level,
        "startPort": document.start_port,
        "globalTTL": document.global_ttl,
    }
    if document.unload_timeout is not None:
        tree["unloadTimeout"] = document.unload_timeout
    if document.download_dir:
        tree["downloadDir"] = document.download_dir
    if document.macros:
        tree["macros"] = {name: document.macros[name] for name in sorted(document.macros)}
    tree["models"] = {name: _model(document.models[name]) for name in sorted(document.models)}
    if document.groups:
        tree["groups"] = {name: _group(document.groups[name]) for name in sorted(document.groups)}
    if document.virtual:
        tree["virtual"] = {
            name: {"members": list(document.virtual[name])} for name in sorted(document.virtual)
        }
    if document.preload:
        tree["hooks"] = {"on_startup": {"preload": list(document.preload)}}
    _add_kept(tree, document.kept_keys)
    return tree


def dump(tree: Mapping[str, Any], dumper: type[Any] = library.Dumper) -> str:
    """Plain values as YAML: no folded lines, no anchors, literal blocks for text of many lines."""
    stream = StringIO()
    writer = dumper(stream, width=_NEVER_FOLD, allow_unicode=True, sort_keys=False)
    try:
        writer.open()
        writer.serialize(_node(tree))
        writer.close()
    finally:
        writer.dispose()
    return stream.getvalue()


def _model(entry: ModelEntry) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    if entry.name:
        tree["name"] = entry.name
    if entry.description:
        tree["description"] = entry.description
    tree["cmd"] = entry.cmd
    if entry.cmd_stop:
        tree["cmdStop"] = entry.cmd_stop
    # Always written: other readers of this format have another default.
    tree["proxy"] = entry.proxy
    if entry.check_endpoint != DEFAULT_CHECK_ENDPOINT:
        tree["checkEndpoint"] = entry.check_endpoint
    if entry.ttl is not None:
        tree["ttl"] = entry.ttl
    if entry.aliases:
        tree["aliases"] = [_alias(entry, alias) for alias in entry.aliases]
    if entry.env:
        tree["env"] = list(entry.env)
    if entry.macros:
        tree["macros"] = {name: entry.macros[name] for name in sorted(entry.macros)}
    if entry.unload_timeout is not None:
        tree["unloadTimeout"] = entry.unload_timeout
    if entry.use_model_name:
        tree["useModelName"] = entry.use_model_name
    if entry.unlisted:
        tree["unlisted"] = True
    if entry.concurrency_limit:
        tree["concurrencyLimit"] = entry.concurrency_limit
    if entry.queue_length is not None:
        tree["queueLength"] = entry.queue_length
    if entry.priority:
        tree["priority"] = entry.priority
    if entry.pinned:
        tree["pinned"] = True
    if filters := _filters(entry):
        tree["filters"] = filters
    if entry.timeouts:
        tree["timeouts"] = {name: entry.timeouts[name] for name in sorted(entry.timeouts)}
    if entry.metadata:
        tree["metadata"] = _sorted(entry.metadata)
    _add_kept(tree, entry.kept_keys)
    return tree


def _alias(entry: ModelEntry, alias: str) -> str | dict[str, Any]:
    """An alias as its name, or as a mapping when more is kept of it."""
    kept = entry.kept_keys.get("aliases")
    more = kept.get(alias) if isinstance(kept, Mapping) else None
    return {"id": alias, **_sorted(more)} if isinstance(more, Mapping) else alias


def _filters(entry: ModelEntry) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    if entry.strip_params:
        tree["stripParams"] = ", ".join(entry.strip_params)
    if entry.set_params:
        tree["setParams"] = _sorted(entry.set_params)
    if entry.set_params_by_id:
        tree["setParamsByID"] = _sorted(entry.set_params_by_id)
    return tree


def _group(entry: GroupEntry) -> dict[str, Any]:
    tree: dict[str, Any] = {
        "swap": entry.swap,
        "exclusive": entry.exclusive,
        "persistent": entry.persistent,
        "members": list(entry.members),
    }
    if entry.start_port is not None:
        tree["startPort"] = entry.start_port
    return tree


def _add_kept(tree: dict[str, Any], kept: Mapping[str, Any]) -> None:
    """Put kept keys beside our own, also inside a mapping that holds both kinds."""
    for key in sorted(kept):
        if key not in tree:
            tree[key] = _sorted(kept[key])
        elif isinstance(tree[key], dict) and isinstance(kept[key], Mapping):
            _add_kept(tree[key], kept[key])


def _sorted(value: Any) -> Any:
    """The value with all mappings in order: a database may hand keys back in any order."""
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [_sorted(part) for part in value]
    return value


def _node(value: Any) -> yaml.Node:
    if isinstance(value, Mapping):
        pairs = [(_text(key), _node(part)) for key, part in value.items()]
        return yaml.MappingNode("tag:yaml.org,2002:map", pairs, flow_style=not pairs)
    if isinstance(value, list):
        parts = [_node(part) for part in value]
        return yaml.SequenceNode("tag:yaml.org,2002:seq", parts, flow_style=not parts)
    if isinstance(value, str):
        return _text(value)
    return yaml.ScalarNode(*_bare(value))


def _bare(value: Any) -> tuple[str, str]:
    if value is None:
        return "tag:yaml.org,2002:null", "null"
    if isinstance(value, bool):
        return "tag:yaml.org,2002:bool", "true" if value else "false"
    if isinstance(value, int):
        return "tag:yaml.org,2002:int", str(value)
    mantissa, e, exponent = repr(value).partition("e")
    if "." not in mantissa:
        mantissa += ".0"
    return "tag:yaml.org,2002:float", mantissa + e + exponent


def _text(text: str) -> yaml.ScalarNode:
    return yaml.ScalarNode("tag:yaml.org,2002:str", text, style=_style(text))


def _style(text: str) -> str | None:
    lines = text.split("\n")
    if not all(line.isprintable() for line in lines):
        return '"'  # escapes what an editor or the parser would change, such as \r
    if len(lines) == 1:
        return "'" if looks_special(text) else None
    block = text[0] not in " \n" and not text.endswith("\n\n")
    return "|" if block and all(line == line.rstrip() for line in lines) else '"'
