"""What a model's chat template shows that it was taught: to call tools, to reason first.

Both are read conservatively: only what a template could not contain otherwise counts. A template
that merely passes over other models' tool messages is no promise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from models_app.gguf import GgufHeader, TextInfo, Value

_KEY: Final = "tokenizer.chat_template"

# An unclosed string goes to the end: whatever the template, each character is looked at once.
_STRING: Final = re.compile(r"'(?:[^'\\]|\\.?)*(?:'|\Z)|\"(?:[^\"\\]|\\.?)*(?:\"|\Z)", re.DOTALL)
# As variables only: `message.tools` and the text "tools" are something else.
_TOOLS: Final = re.compile(r"(?<![.\w])tools\b")
_REASONING: Final = re.compile(
    r"(?<![.\w])(?:enable_thinking|thinking_budget|reasoning_effort)\b"
    r"|(?<=\.)(?:thinking|reasoning)\b"
)
# What models write around their thoughts, and the field that their thoughts come in.
_THOUGHTS: Final = (
    "reasoning_content",
    "<think>",
    "</think>",
    "[THINK]",
    "<seed:think>",
    "<|channel|>analysis",
)

_CLOSINGS: Final = {"{%": "%}", "{{": "}}", "{#": "#}"}
_OPENING: Final = re.compile(r"\{[%{#]")


def has_chat_template(header: GgufHeader) -> bool:
    """Whether the file brings a template, under the plain key or a named one."""
    return any(
        value != "" and isinstance(value, str | TextInfo)
        for _, value in _templates(header.metadata)
    )


def supports_tools(header: GgufHeader) -> bool:
    """Whether a template reads the list of tools, or is named for their use."""
    return any(
        name == "tool_use" or any(_TOOLS.search(code) for code in _code_of(text))
        for name, text in _templates(header.metadata)
        if isinstance(text, str)
    )


def supports_reasoning(header: GgufHeader) -> bool:
    """Whether a template asks for thoughts before the answer, or takes them out of old ones."""
    return any(
        _mentions_thoughts(text) for _, text in _templates(header.metadata) if isinstance(text, str)
    )


def _templates(metadata: Mapping[str, Value]) -> Iterator[tuple[str, Value]]:
    """The names and texts of all templates; the plain one's name is ""."""
    for key, value in metadata.items():
        if key == _KEY or key.startswith(f"{_KEY}."):
            yield key[len(_KEY) + 1 :], value


def _mentions_thoughts(template: str) -> bool:
    bare = "".join(text for opening, text in _pieces(template) if opening != "{#")
    if any(mark in bare for mark in _THOUGHTS):
        return True
    return any(_REASONING.search(code) for code in _code_of(template))


def _code_of(template: str) -> Iterator[str]:
    """The statements and expressions of a template, with strings emptied."""
    for opening, text in _pieces(template):
        if opening in ("{%", "{{"):
            yield _STRING.sub("''", text)


def _pieces(template: str) -> Iterator[tuple[str, str]]:
    """Statements, expressions, comments and, with "" in place of an opening, the text between."""
    at = 0
    while opening := _OPENING.search(template, at):
        yield "", template[at : opening.start()]
        end = template.find(_CLOSINGS[opening[0]], opening.end())
        end = len(template) if end < 0 else end
        yield opening[0], template[opening.end() : end]
        at = end + 2
    yield "", template[at:]
