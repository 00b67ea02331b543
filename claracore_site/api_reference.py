"""docs/routes.md: every route, written from the API's own description."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

from drf_spectacular.generators import SchemaGenerator

HEAD: Final = """\
# Every route of the REST API

Written from the API's own description (`/api/schema/`) by `manage.py api_reference`; `/api/docs/`
of a server shows the same with every field, and lets you try it. What holds for all of them stands
in [the REST API](api.md), the OpenAI-compatible paths in [the gateway](gateway.md).
"""

Operation = Mapping[str, Any]


def page() -> str:
    """The whole page, in Markdown."""
    generator: Any = SchemaGenerator  # which has no types
    schema = generator().get_schema(request=None, public=True)
    by_tag: dict[str, list[str]] = defaultdict(list)
    for path, method, operation in _operations(schema):
        by_tag[operation.get("tags", ["other"])[0]].append(_section(path, method, operation))
    return HEAD + "".join(
        f"\n## {tag.capitalize()}\n" + "".join(sections) for tag, sections in sorted(by_tag.items())
    )


def _operations(schema: Mapping[str, Any]) -> Iterator[tuple[str, str, Operation]]:
    for path, methods in sorted(schema["paths"].items()):
        for method, operation in methods.items():
            yield path, method.upper(), operation


def _section(path: str, method: str, operation: Operation) -> str:
    lines = [f"\n### `{method} {path}`\n", _cell(operation.get("summary", "")) + "\n"]
    asked = [_parameter(one) for one in operation.get("parameters", ())]
    if asked:
        lines += ["| parameter | in | |", "|---|---|---|", *asked, ""]
    if body := _name_of(operation.get("requestBody", {})):
        lines.append(f"Takes `{body}`.\n")
    answers = [
        f"{status} `{name}`" if (name := _name_of(answer)) else str(status)
        for status, answer in operation["responses"].items()
    ]
    lines.append(f"Answers {', '.join(answers)}.\n")
    return "\n".join(lines)


def _parameter(one: Mapping[str, Any]) -> str:
    return f"| `{one['name']}` | {one['in']} | {_cell(one.get('description', ''))} |"


def _name_of(part: Mapping[str, Any]) -> str:
    """The schema's name of a body or an answer; empty when it has none."""
    for content in part.get("content", {}).values():
        schema = content.get("schema", {})
        reference = schema.get("$ref") or schema.get("items", {}).get("$ref", "")
        return str(reference).rpartition("/")[2]
    return ""


def _cell(text: str) -> str:
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;")
