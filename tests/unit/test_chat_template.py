from __future__ import annotations

import pytest

from models_app.chat_template import has_chat_template, supports_reasoning, supports_tools
from models_app.gguf import GgufHeader, TextInfo, Value

KEY = "tokenizer.chat_template"


def header(template: Value, key: str = KEY) -> GgufHeader:
    return GgufHeader(3, False, {key: template}, (), 32, 0, 0)


@pytest.mark.parametrize(
    "template",
    [
        "{%- if tools %}{{ tools | tojson }}{% endif %}",
        "{% for tool in tools -%}x{% endfor %}",
        "{{ 'it\\'s' ~ tools[0] }}",
        "{%- if not tools is defined %}{%- set tools = none %}",
    ],
)
def test_a_template_that_reads_the_tools_supports_them(template: str) -> None:
    assert supports_tools(header(template))


@pytest.mark.parametrize(
    "template",
    [
        "",
        "You have no tools.",
        "{# tools #}{{ messages }}",
        "{{ 'tools' }}",
        '{{ message["tools"] }}',
        "{{ message.tools }}",
        "{{ my_tools }}{{ toolset }}",
        "{% for m in messages %}{% if m.role == 'tool' %}{{ m.content }}{% endif %}{% endfor %}",
    ],
)
def test_a_template_that_only_mentions_tools_is_no_promise(template: str) -> None:
    assert not supports_tools(header(template))


def test_a_template_named_for_tools_supports_them() -> None:
    assert supports_tools(header("{{ messages }}", f"{KEY}.tool_use"))
    assert not supports_tools(header("{{ messages }}", f"{KEY}.rag"))


@pytest.mark.parametrize(
    "template",
    [
        "{% if enable_thinking is false %}x{% endif %}",
        "{{ message.reasoning_content }}",
        "{{ message['reasoning_content'] }}",
        "{{ message.thinking }}",
        "{%- if reasoning_effort is not defined %}x{% endif %}",
        "{{ content.split('</think>')[-1] }}",
        "<|assistant|><think>\n",
        "[SYSTEM_PROMPT]Write your thoughts as [THINK]…[/THINK].",
    ],
)
def test_a_template_that_handles_thoughts_supports_reasoning(template: str) -> None:
    assert supports_reasoning(header(template))


@pytest.mark.parametrize(
    "template", ["", "Think step by step.", "{# <think> #}{{ x }}", "{{ 'enable_thinking' }}"]
)
def test_a_template_that_does_not_is_no_promise(template: str) -> None:
    assert not supports_reasoning(header(template))


def test_a_template_that_was_stepped_over_is_there_but_tells_nothing() -> None:
    long = header(TextInfo(2**21))
    assert has_chat_template(long)
    assert not supports_tools(long) and not supports_reasoning(long)


@pytest.mark.parametrize(
    "piece", ["{{ '", "{#", "{%", "'\\", "{{ \"'\\", "}}", "{{ x }}", "tools", "{{ tools."]
)
def test_any_template_of_a_megabyte_is_read_in_one_go(piece: str) -> None:
    # Looking back for every opening would take hours here.
    hostile = header(piece * (2**20 // len(piece)))
    assert supports_tools(hostile) in (True, False)
    assert supports_reasoning(hostile) in (True, False)
