from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models_app.config_yaml import MAX_BYTES, ConfigError, expand, parse, read, render, words
from models_app.config_yaml.library import Dumper, Loader
from models_app.config_yaml.nodes import compose
from models_app.config_yaml.render import dump
from models_app.config_yaml.scalars import plain
from models_app.document import TIMEOUTS, ConfigDocument, GroupEntry, ModelEntry

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
BOTH_PARSERS = pytest.mark.parametrize(
    "loader", [yaml.SafeLoader, Loader], ids=["python", "libyaml"]
)


def model(text: str) -> ModelEntry:
    """The one model of a file, given its lines below its id."""
    lines = "\n".join(f"    {line}" for line in text.strip().split("\n"))
    return parse(f"models:\n  a:\n{lines}\n").document.models["a"]


def error(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    return caught.value


# ---- What a file says ------------------------------------------------------------------------


def test_an_empty_file_is_a_configuration_with_the_formats_defaults() -> None:
    for text in ("", "\n", "# only a comment\n", "---\n"):
        document = parse(text).document
        assert document.models == {}
        assert document.health_check_timeout == 120
        assert document.log_level == "info"
        assert document.start_port == 8100
        assert document.global_ttl == 0


def test_a_model_has_the_formats_defaults() -> None:
    entry = model("cmd: llama-server --port ${PORT}")
    assert entry == ModelEntry(model_id="a", cmd="llama-server --port ${PORT}")
    assert entry.proxy == "http://127.0.0.1:${PORT}"
    assert entry.check_endpoint == "/health"
    assert entry.ttl is None


def test_it_reads_every_field_of_a_model() -> None:
    entry = model(
        """
cmd: server --port ${PORT}
cmdStop: docker stop ${MODEL_ID}
proxy: http://127.0.0.1:${PORT}/x
checkEndpoint: none
name: A model
description: |
  Two
  lines
aliases: [b, "c d"]
env: ["A=1", "B=x y"]
ttl: 60
unlisted: true
useModelName: org/a
concurrencyLimit: 4
queueLength: 20
priority: -3
pinned: true
filters:
  stripParams: "temperature, top_p , temperature"
metadata: {context: 4096, tags: [x], ratio: 0.5, none: ~}
"""
    )
    assert entry == ModelEntry(
        model_id="a",
        cmd="server --port ${PORT}",
        cmd_stop="docker stop ${MODEL_ID}",
        proxy="http://127.0.0.1:${PORT}/x",
        check_endpoint="none",
        name="A model",
        description="Two\nlines\n",
        aliases=("b", "c d"),
        env=("A=1", "B=x y"),
        ttl=60,
        unlisted=True,
        use_model_name="org/a",
        concurrency_limit=4,
        queue_length=20,
        priority=-3,
        pinned=True,
        strip_params=("temperature", "top_p"),
        metadata={"context": 4096, "tags": ["x"], "ratio": 0.5, "none": None},
    )


def test_it_reads_snake_case_spellings_too() -> None:
    entry = model(
        """
cmd: a --port ${PORT}
cmd_stop: b
use_model_name: m
concurrency_limit: 2
check_endpoint: /ok
filters: {strip_params: "x"}
"""
    )
    assert (entry.cmd_stop, entry.use_model_name, entry.concurrency_limit) == ("b", "m", 2)
    assert (entry.check_endpoint, entry.strip_params) == ("/ok", ("x",))
    assert parse("global_ttl: 7\nhealth_check_timeout: 20").document.global_ttl == 7


def test_two_spellings_of_one_key_are_refused() -> None:
    caught = error("globalTTL: 1\nglobal_ttl: 2\n")
    assert "`globalTTL` and `global_ttl` are the same" in str(caught)
    assert caught.line == 2


def test_names_are_never_taken_for_spellings_of_each_other() -> None:
    models = parse("models:\n  myModel: {}\n  my_model: {}\n").document
    assert sorted(models.models) == ["myModel", "my_model"]


def test_a_key_without_a_value_counts_as_absent() -> None:
    entry = model("cmd: a ${PORT}\naliases:\nenv: ~\nttl: null\nfilters:\nmetadata:\nproxy:")
    assert entry == ModelEntry(model_id="a", cmd="a ${PORT}")
    assert parse("models:\ngroups:\nmacros:\nhooks:\n").document == parse("").document
    assert parse("models:\n  a:\n").document.models["a"] == ModelEntry(model_id="a")


def test_minus_one_as_ttl_means_the_servers_setting() -> None:
    assert model("cmd: a ${PORT}\nttl: -1").ttl is None
    assert model("cmd: a ${PORT}\nttl: 0").ttl == 0


def test_text_keeps_its_spelling_where_text_is_wanted() -> None:
    document = parse(
        "models:\n  1.10:\n    cmd: a ${PORT}\n    aliases: [yes, 007, 2024-01-01]\n"
    ).document
    assert document.models["1.10"].aliases == ("yes", "007", "2024-01-01")
    assert parse("macros: {ctx: 4096, v: 1.10, on: true}").document.macros == {
        "ctx": "4096",
        "v": "1.10",
        "on": "true",
    }


def test_it_reads_groups() -> None:
    document = parse(
        """
models: {a: {cmd: "x ${PORT}"}, b: {cmd: "y ${PORT}"}}
groups:
  small: {swap: false, exclusive: off, persistent: yes, members: [a, b], startPort: 8200}
  empty:
"""
    ).document
    assert document.groups == {
        "small": GroupEntry("small", False, False, True, ("a", "b"), 8200),
        "empty": GroupEntry("empty"),
    }


def test_groups_may_stand_below_routing_as_well() -> None:
    parsed = parse(
        """
models: {a: {cmd: "x ${PORT}"}}
routing:
  router:
    use: group
    settings:
      groups:
        g: {members: [a], colour: red}
"""
    )
    assert parsed.document.groups["g"].members == ("a",)
    assert parsed.document.kept_keys == {
        "routing": {"router": {"use": "group"}},
        "groups": {"g": {"colour": "red"}},
    }
    assert parse(render(parsed.document)).document == parsed.document


def test_the_default_group_of_a_file_is_left_out_with_a_warning() -> None:
    parsed = parse("groups:\n  (default): {swap: false, members: [a]}\n")
    assert parsed.document.groups == {}
    assert parsed.document.kept_keys == {}
    assert parsed.warnings == (
        "line 2: The server makes the group (default); this one is left out.",
    )


def test_preload_is_trimmed_resolved_and_unknown_names_dropped() -> None:
    parsed = parse(
        """
models: {a: {cmd: "x ${PORT}", aliases: [b]}}
hooks: {on_startup: {preload: [" b ", a, ghost]}}
"""
    )
    assert parsed.document.preload == ("a",)
    assert any("ghost" in warning for warning in parsed.warnings)


def test_out_of_range_settings_are_clamped_with_a_warning() -> None:
    parsed = parse("healthCheckTimeout: 3\nlogLevel: trace\n")
    assert parsed.document.health_check_timeout == 15
    assert parsed.document.log_level == "info"
    assert [warning[:6] for warning in parsed.warnings] == ["line 1", "line 2"]
    assert parse("logLevel: WARN").document.log_level == "warn"
    assert model("cmd: a ${PORT}\nconcurrencyLimit: -3").concurrency_limit == 0


def test_unknown_keys_are_kept_where_they_stood_and_reported() -> None:
    parsed = parse(
        """
logRequests: true
profiles: {coding: [a]}
models:
  a:
    cmd: x ${PORT}
    sendLoadingState: true
    filters: {dropParams: {top_k: 3}}
groups: {g: {members: [a], colour: red}}
hooks: {on_startup: {profile: coding}}
"""
    )
    assert parsed.document.kept_keys == {
        "logRequests": True,
        "profiles": {"coding": ["a"]},
        "groups": {"g": {"colour": "red"}},
        "hooks": {"on_startup": {"profile": "coding"}},
    }
    assert parsed.document.models["a"].kept_keys == {
        "sendLoadingState": True,
        "filters": {"dropParams": {"top_k": 3}},
    }
    assert parsed.warnings == (
        "line 2: `logRequests` has no effect here. It is kept.",
        "line 3: `profiles` has no effect here. It is kept.",
        'line 7: `sendLoadingState` of model "a" has no effect here. It is kept.',
        'line 8: `filters.dropParams` of model "a" has no effect here. It is kept.',
        'line 9: `colour` of group "g" has no effect here. It is kept.',
        "line 10: `hooks.on_startup.profile` has no effect here. It is kept.",
    )


def test_it_tells_which_fields_stand_in_the_file() -> None:
    assert parse("globalTTL: 5\nmodels: {}\n").given == {"global_ttl", "models", "kept_keys"}


def test_it_warns_about_what_is_allowed_but_surely_not_meant() -> None:
    parsed = parse(
        """
models:
  a: {cmd: "x ${PORT}", aliases: [b]}
  b: {cmd: "x ${PORT} 'open"}
  c: {}
groups: {g: {members: [ghost]}}
"""
    )
    assert parsed.warnings == (
        'line 3: The alias "b" never acts: a model has it as its id.',
        'line 4: The model "b" cannot use its `cmd`: This quote is never closed: \'open',
        'line 5: The model "c" cannot use its `cmd`: empty command. Say which program to start.',
        'line 6: The group "g" names "ghost", which is no model of this file.',
    )


# ---- What is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("models:\n  a: {}\n  a: {}\n", 3, "`a` stands here twice, first in line 2"),
        ("logLevel: info\nlogLevel: warn\n", 2, "`logLevel` stands here twice"),
        ("models:\n  a:\n    cmd: x\n   cmd: y\n", 4, "not valid YAML"),
        ("models:\n\ta: 1\n", 2, "spaces instead of tabs"),
        ("a: b: c\n", 1, "Put quotes around values"),
        ("- a\n- b\n", 1, "must be a mapping"),
        ("just text\n", 1, "must be a mapping"),
        ("models: [a]\n", 1, "`models` must be a mapping"),
        ("models:\n  a: 3\n", 2, 'model "a" must be a mapping'),
        ("models:\n  '': {}\n", 2, "A model has no name"),
        ("models:\n  a:\n    cmd: [x]\n", 3, '`cmd` of model "a" must be text'),
        ("models:\n  a:\n    env: X=1\n", 3, "must be a list"),
        ("models:\n  a:\n    env:\n    - X=1\n    - Y\n", 5, 'NAME=value", not "Y"'),
        ("models:\n  a:\n    aliases: [x, '']\n", 3, "empty item"),
        ("models:\n  a:\n    ttl: soon\n", 3, 'not "soon"'),
        ("models:\n  a:\n    ttl: -2\n", 3, "from -1 to"),
        ("models:\n  a:\n    ttl: 1.5\n", 3, "whole number"),
        ("models:\n  a:\n    ttl: 99999999999999999999\n", 3, "whole number"),
        ("models:\n  a:\n    unlisted: maybe\n", 3, "true or false"),
        ("models:\n  a:\n    unlisted: [x]\n", 3, "not a list or a mapping"),
        ("models:\n  a:\n    metadata: 3\n", 3, "must be a mapping"),
        ("models:\n  a:\n    filters: 3\n", 3, "must be a mapping"),
        ("startPort: 0\n", 1, "from 1 to 65000"),
        ("startPort: 70000\n", 1, "from 1 to 65000"),
        ("globalTTL: -1\n", 1, "from 0"),
        ("? [a]\n: b\n", 1, "A key must be text"),
        ("a: !!python/object:os.system {}\n", 1, "tag"),
        ("a: !custom b\n", 1, "tag !custom is not supported"),
        ("a: *b\n", 1, "&b stands nowhere"),
        ("a: &a [*a]\n", 1, "refers to something it is itself a part of"),
        ("a: 1\n---\nb: 2\n", 2, "second document"),
        ("a:\n  <<: 3\n", 2, "`<<` takes a mapping"),
        ("a: .nan\n", 1, "cannot be kept as a number"),
        ("a: 1e999\n", 1, "cannot be kept as a number"),
        ("a: " + "9" * 5000, 1, "too long"),
        ('a: "\\0"\n', 1, "cannot be stored"),
        ('a: "\\ud800"\n', 1, ""),
        ("a: \x07\n", None, "not YAML"),
        ("a: 1\nb: \udc80\n", 2, "Half of a character"),
        ("models:\n  " + "m" * 256 + ": {}\n", 2, "longer than 255"),
        ("models:\n  a:\n    name: " + "n" * 256, 3, "longer than 255"),
        ("groups:\n  " + "g" * 129 + ": {}\n", 2, "longer than 128"),
        ("groups: {g: {}}\nrouting: {router: {settings: {groups: {g: {}}}}}\n", 2, "Keep one"),
    ],
)
def test_it_refuses_a_bad_file_with_line_and_reason(
    text: str, line: int | None, reason: str
) -> None:
    caught = error(text)
    assert reason in caught.message
    assert caught.line == line


def models_of(*texts: str) -> str:
    return "models:\n" + "".join(f"  {text}\n" for text in texts)


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        (
            models_of("a: {aliases: [x]}", "b: {aliases: [x]}"),
            3,
            "duplicate alias x found in model: b",
        ),
        (models_of("a: {aliases: [x, x]}"), 2, "duplicate alias x found in model: a"),
        (
            "macros:\n  ok: 1\n  " + "m" * 64 + ": v\n",
            3,
            f"macro name '{'m' * 64}' exceeds maximum length of 63 characters",
        ),
        ("macros:\n  a b: v\n", 2, "contains invalid characters, must match pattern"),
        ("macros:\n  m: " + "v" * 1025, 2, "exceeds maximum length of 1024 characters"),
        ("macros:\n  MODEL_ID: v\n", 2, "macro name 'MODEL_ID' is reserved and cannot be used"),
        ("macros:\n  PORT: v\n", 2, "macro name 'PORT' is reserved"),
        ("macros:\n  a: ${b}\n  b: ${c}\n  c: ${a}\n", 2, "in a circle: a → b → c → a"),
        ("macros:\n  a: ${a}\n", 2, "in a circle: a → a"),
        (
            models_of('a: {cmd: "x ${PORT} ${ghost}"}'),
            2,
            "unknown macro '${ghost}' found in a.cmd",
        ),
        (
            models_of('a: {cmd: "x ${PORT}", cmdStop: "y ${ghost}"}'),
            2,
            "unknown macro '${ghost}' found in a.cmdStop",
        ),
        (
            models_of('a: {cmd: "x ${PORT} ${PID}"}'),
            2,
            "unknown macro '${PID}' found in a.cmd",
        ),
        (
            models_of("a:", "  cmd: x ${PORT}", "  check_endpoint: /${ghost}"),
            4,
            "unknown macro '${ghost}' found in a.checkEndpoint",
        ),
        (
            models_of("a:", "  cmd: x", "  proxy: http://${PORT}"),
            4,
            "model a: proxy uses ${PORT} but cmd does not - ${PORT} is only available when used in",
        ),
        (models_of("a: {cmd: x}"), 2, "proxy uses ${PORT} but cmd does not"),
        (
            "groups:\n  g:\n    members: [a, a]\n",
            3,
            "duplicate model member a found in group: g",
        ),
        (
            "groups:\n  g:\n    members: [a]\n  h:\n    members: [a]\n",
            5,
            "model member a is used in multiple groups: g and h",
        ),
    ],
)
def test_it_refuses_a_file_that_breaks_a_rule(text: str, line: int, reason: str) -> None:
    caught = error(text)
    assert reason in caught.message
    assert caught.line == line


def test_a_circle_of_macros_nobody_uses_is_found_in_any_order_of_the_file() -> None:
    for text in ("macros: {z: '${y}', y: '${z}'}", "macros: {y: '${z}', z: '${y}'}"):
        assert "circle" in error(text).message


# ---- Bounds ----------------------------------------------------------------------------------


def test_a_file_of_ten_megabytes_is_refused_unread(tmp_path: Path) -> None:
    # Not YAML from its first character on: the message shows that nothing looked at it.
    text = "\t}" * (5 * 1024 * 1024)
    assert "larger than 4 MiB" in error(text).message
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match="larger than 4 MiB"):
        read(file)


def test_the_bound_counts_bytes() -> None:
    text = "#" + "ü" * (MAX_BYTES // 2)
    assert len(text) < MAX_BYTES
    assert "larger than" in error(text).message
    assert parse("#" + "u" * (MAX_BYTES - 1)).document.models == {}


@BOTH_PARSERS
def test_anchors_that_multiply_are_refused_before_they_are_followed(loader: Any) -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 40)]
    with pytest.raises(ConfigError, match="too many values") as caught:
        compose("\n".join(rows), loader)
    assert caught.value.line is not None and caught.value.line < 12


@BOTH_PARSERS
def test_anchors_of_long_texts_count_by_their_length(loader: Any) -> None:
    text = f"a: &a {'x' * 100_000}\nb: [{', '.join(['*a'] * 200)}]\n"
    with pytest.raises(ConfigError, match="too many values"):
        compose(text, loader)


def test_a_file_of_nothing_but_values_is_refused() -> None:
    assert "too many values" in error("- x\n" * (MAX_BYTES // 4)).message


@BOTH_PARSERS
@pytest.mark.parametrize("text", ["a: " + "[" * 5000, "a: " + "{b: " * 5000])
def test_deep_nesting_is_refused(text: str, loader: Any) -> None:
    with pytest.raises(ConfigError, match="nested more than"):
        compose(text, loader)


@BOTH_PARSERS
def test_depth_through_anchors_is_refused(loader: Any) -> None:
    text = f"a: &a {'[' * 30}{']' * 30}\nb: {'[' * 30}*a{']' * 30}\n"
    with pytest.raises(ConfigError, match="nested more than"):
        compose(text, loader)


@BOTH_PARSERS
def test_modest_anchors_and_merge_keys_work(loader: Any) -> None:
    text = """
base: &base {cmd: "x ${PORT}", ttl: 5}
more: &more {ttl: 6, name: n}
models:
  a: {<<: [*base, *more], ttl: 7}
  b: *base
"""
    models = plain(compose(text, loader))["models"]
    assert models["a"] == {"cmd": "x ${PORT}", "ttl": 7, "name": "n"}
    assert models["b"] == {"cmd": "x ${PORT}", "ttl": 5}


def test_macros_that_multiply_are_refused() -> None:
    macros = "".join(f"  m{n}: '{f'${{m{n - 1}}}' * 50}'\n" for n in range(1, 40))
    text = f"macros:\n  m0: xxxxxxxxxx\n{macros}"
    assert "longer than" in error(text).message


def test_macros_that_multiply_nothing_come_to_an_end() -> None:
    macros = "".join(f"  m{n}: '{f'${{m{n - 1}}}' * 50}'\n" for n in range(1, 40))
    assert len(parse(f"macros:\n  m0: ''\n{macros}").document.macros) == 40


@pytest.mark.parametrize("order", [1, -1])
def test_a_long_chain_of_macros_is_refused_in_any_order(order: int) -> None:
    names = [f"m{n:04}" for n in range(3000)][::order]
    rows = [f"  {name}: '${{{after}}}'" for name, after in pairwise(names)]
    text = "\n".join(["macros:", *rows, f"  {names[-1]}: end"])
    assert "levels of macros" in error(text).message


# ---- Reading a file --------------------------------------------------------------------------


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(b"\xef\xbb\xbflogLevel: warn\n")
    assert parse(read(file)).document.log_level == "warn"


def test_a_file_that_is_not_utf8_names_the_line(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(ConfigError, match="line 2: This is not UTF-8"):
        read(file)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.yaml"):
        with pytest.raises(ConfigError, match="It cannot be read"):
            read(path)


# ---- Writing ---------------------------------------------------------------------------------


def test_the_text_is_stable_and_readable() -> None:
    document = ConfigDocument(
        models={
            "b": ModelEntry("b", cmd="server\n--port ${PORT}\n# 100%: sure\n--model '/x y/b.gguf'"),
            "a": ModelEntry("a", cmd="s ${PORT}", ttl=0, aliases=("yes",), strip_params=("x", "y")),
        },
        groups={"g": GroupEntry("g", swap=False, members=("a",))},
        macros={"z": "1", "m": "two\nlines\n"},
        kept_keys={"groups": {"g": {"colour": "red"}}, "apiKeys": ["k"]},
    )
    text = render(document)
    body = text[text.index("healthCheckTimeout") :]
    assert text.startswith("# The configuration of ClaraCore.")
    assert (
        body
        == """\
healthCheckTimeout: 300
logLevel: info
startPort: 8100
globalTTL: 0
macros:
  m: |
    two
    lines
  z: '1'
models:
  a:
    cmd: s ${PORT}
    proxy: http://127.0.0.1:${PORT}
    ttl: 0
    aliases:
    - 'yes'
    filters:
      stripParams: x, y
  b:
    cmd: |-
      server
      --port ${PORT}
      # 100%: sure
      --model '/x y/b.gguf'
    proxy: http://127.0.0.1:${PORT}
groups:
  g:
    swap: false
    exclusive: true
    persistent: false
    members:
    - a
    colour: red
apiKeys:
- k
"""
    )
    assert parse(text).document == document


def test_equal_documents_give_equal_texts_whatever_the_order_of_their_keys() -> None:
    one = ConfigDocument(
        macros={"a": "1", "b": "2"}, kept_keys={"x": {"p": 1, "q": [{"r": 1, "s": 2}]}}
    )
    two = ConfigDocument(
        macros={"b": "2", "a": "1"}, kept_keys={"x": {"q": [{"s": 2, "r": 1}], "p": 1}}
    )
    assert one == two
    assert render(one) == render(two)


# fmt: off
AWKWARD = (
    "", "yes", "null", "~", "1.10", "0x1f", "0o17", "017", "1e3", "1_000", "1:30", "2024-01-01",
    "<<", "=", ".inf", "-", "---", "...", " a", "a ", "a\n", "a\n\n", "\na", " \n", "a \nb",
    "a\n b",
)
# fmt: on
TEXT = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"])
    | st.sampled_from(list("\n\r\t \x85\u2028\ufeff'\"\\#:-{}[]&*!|>%@`~?,=<$")),
    max_size=30,
).map(lambda text: text.replace("${", "$ {")) | st.sampled_from(AWKWARD)
NAME = TEXT.filter(lambda text: bool(text.strip()))
WORD = st.from_regex(r"[a-z][a-z0-9-]{0,12}", fullmatch=True)
VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    # Larger ones come back from PostgreSQL as the whole numbers that they are written as.
    | st.floats(-1e15, 1e15)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
KEPT = st.dictionaries(WORD.map(lambda word: f"x-{word}"), VALUE, max_size=2)


def free_of_macros(text: str) -> str:
    return text.replace("${", "$ {")


@st.composite
def entries(draw: st.DrawFn, model_id: str, aliases: tuple[str, ...]) -> ModelEntry:
    kept = draw(KEPT)
    if draw(st.booleans()):
        kept["filters"] = {"x-more": draw(VALUE)}
    return ModelEntry(
        model_id=model_id,
        cmd=draw(TEXT.map(lambda text: f"server ${{PORT}} {free_of_macros(text)}")),
        cmd_stop=draw(TEXT.map(free_of_macros)),
        proxy=draw(st.sampled_from(["http://127.0.0.1:${PORT}", "http://[::1]:9/x"])),
        check_endpoint=draw(st.sampled_from(["/health", "none", "/x y"])),
        name=draw(TEXT),
        description=draw(TEXT),
        aliases=aliases,
        macros=draw(st.dictionaries(WORD, TEXT.map(free_of_macros), max_size=2)),
        env=draw(st.lists(TEXT.map(lambda text: f"K={text}"), max_size=2).map(tuple)),
        ttl=draw(st.none() | st.integers(0, 2**31 - 1)),
        unload_timeout=draw(st.none() | st.integers(1, 3600)),
        unlisted=draw(st.booleans()),
        use_model_name=draw(TEXT),
        concurrency_limit=draw(st.integers(0, 2**31 - 1)),
        queue_length=draw(st.none() | st.integers(1, 2**31 - 1)),
        priority=draw(st.integers(-100, 100)),
        pinned=draw(st.booleans()),
        strip_params=draw(st.lists(WORD, max_size=3, unique=True).map(tuple)),
        set_params=draw(st.dictionaries(TEXT, VALUE, max_size=2)),
        set_params_by_id=draw(
            st.dictionaries(
                WORD.map(lambda word: f"{model_id}{word}:$" + "{MODEL_ID}"),
                st.dictionaries(TEXT, VALUE, max_size=2),
                max_size=2,
            )
        ),
        timeouts=draw(st.dictionaries(st.sampled_from(TIMEOUTS), st.integers(0, 9), max_size=3)),
        metadata=draw(st.dictionaries(TEXT, VALUE, max_size=2)),
        kept_keys=kept,
    )


@st.composite
def documents(draw: st.DrawFn) -> ConfigDocument:
    names = draw(st.lists(NAME, max_size=6, unique=True))
    cut = draw(st.integers(0, len(names)))
    ids, aliases = names[:cut], names[cut:]
    shares = {name: tuple(aliases[n :: len(ids)]) for n, name in enumerate(ids)}
    models = {name: draw(entries(name, shares[name])) for name in ids}
    groups: dict[str, GroupEntry] = {}
    free = list(ids)
    for name in draw(
        st.lists(NAME.filter(lambda text: text != "(default)"), max_size=2, unique=True)
    ):
        members = tuple(free.pop() for _ in range(draw(st.integers(0, len(free)))))
        switches = (draw(st.booleans()), draw(st.booleans()), draw(st.booleans()))
        port = draw(st.none() | st.integers(1, 65000))
        groups[name] = GroupEntry(name, *switches, members, port)
    kept = draw(KEPT)
    for name in list(groups)[: draw(st.integers(0, 1))]:
        kept["groups"] = {name: {"x-colour": draw(VALUE)}}
    return ConfigDocument(
        models=models,
        groups=groups,
        macros=draw(st.dictionaries(WORD, TEXT.map(free_of_macros), max_size=2)),
        health_check_timeout=draw(st.integers(15, 86400)),
        log_level=draw(st.sampled_from(["debug", "info", "warn", "error"])),
        start_port=draw(st.integers(1, 65000)),
        download_dir=draw(TEXT),
        unload_timeout=draw(st.none() | st.integers(1, 3600)),
        global_ttl=draw(st.integers(0, 2**31 - 1)),
        preload=tuple(draw(st.permutations(ids))[: draw(st.integers(0, 3))]),
        kept_keys=kept,
    )


@UNHURRIED
@given(documents())
def test_reading_what_was_written_gives_the_document_back(document: ConfigDocument) -> None:
    text = render(document)
    assert parse(text).document == document
    assert render(parse(text).document) == text


@UNHURRIED
@given(VALUE)
def test_both_emitters_and_both_parsers_keep_every_value(value: Any) -> None:
    for dumper in (yaml.SafeDumper, Dumper):
        text = dump({"value": value}, dumper)
        for loader in (yaml.SafeLoader, Loader):
            assert plain(compose(text, loader)) == {"value": value}


@UNHURRIED
@given(st.text(max_size=200) | st.text("ab:-[]{}&*!|>'\"%@#,? \n\t~<=", max_size=60))
def test_no_text_makes_the_reader_fail_in_another_way(text: str) -> None:
    try:
        document = parse(text).document
    except ConfigError as caught:
        assert caught.message
    else:
        assert parse(render(document)).document == document


# ---- Fields of requests, and macros of a model ---------------------------------------------------


VARIANTS = """
macros: {ctx: 4096, warmth: 0.5, mode: high, "on": true}
models:
  a:
    macros: {ctx: 16384, own: "${mode}er"}
    cmd: server --port ${PORT} -c ${ctx}
    timeouts: {connect: 5, responseHeader: 0}
    unloadTimeout: 20
    filters:
      stripParams: "${mode}"
      setParams: {temperature: "${warmth}", top_k: 3, note: "at ${warmth}", keep: "${on}"}
      setParamsByID:
        "${MODEL_ID}:${mode}": {chat: {effort: ["${own}"]}}
        plain: {}
  b: {cmd: "server --port ${PORT} -c ${ctx}"}
"""


def test_it_reads_what_requests_are_given() -> None:
    entry = parse(VARIANTS).document.models["a"]
    assert entry.macros == {"ctx": "16384", "own": "${mode}er"}
    assert entry.set_params["temperature"] == "${warmth}"
    assert entry.set_params_by_id["plain"] == {}
    assert entry.timeouts == {"connect": 5, "responseHeader": 0}
    assert entry.unload_timeout == 20
    assert parse(VARIANTS).warnings == ()
    assert parse("unloadTimeout: 0").document.unload_timeout is None
    assert parse("unloadTimeout: 7").document.unload_timeout == 7


def test_macros_in_request_fields_are_filled_in_and_keep_their_type() -> None:
    document = parse(VARIANTS).document
    found = expand(document.models["a"], document, 1, {})
    assert found.set_params == {"temperature": 0.5, "top_k": 3, "note": "at 0.5", "keep": True}
    assert found.set_params_by_id == {"a:high": {"chat": {"effort": ["higher"]}}, "plain": {}}
    assert found.strip_params == ("high",)


def test_an_id_that_looks_like_a_number_stays_text() -> None:
    document = parse(
        'models: {7: {cmd: "x ${PORT}", filters: {setParams: {a: "${MODEL_ID}", b: "${PORT}"}}}}'
    ).document
    assert expand(document.models["7"], document, 80).set_params == {"a": "7", "b": 80}


def test_request_fields_may_come_from_the_environment() -> None:
    document = parse(
        'models: {a: {cmd: "x ${PORT}", filters: {setParams: {user: "${env.WHO}"}}}}'
    ).document
    assert expand(document.models["a"], document, 1, {"WHO": "me"}).set_params == {"user": "me"}
    with pytest.raises(ConfigError, match="The environment variable WHO is not set"):
        expand(document.models["a"], document, 1, {})


def test_a_models_macros_win_over_the_documents_for_that_model_alone() -> None:
    document = parse(VARIANTS).document
    assert expand(document.models["a"], document, 1, {}).argv[-1] == "16384"
    assert expand(document.models["b"], document, 1, {}).argv[-1] == "4096"


def test_a_documents_macro_uses_what_the_model_says() -> None:
    document = parse(
        'macros: {c: 1, args: "-c ${c}"}\n'
        'models: {a: {macros: {c: 2}, cmd: "x ${PORT} ${args}"}, b: {cmd: "x ${PORT} ${args}"}}'
    ).document
    assert words(document.models["a"], document)[-1] == "2"
    assert words(document.models["b"], document)[-1] == "1"


@pytest.mark.parametrize(
    ("model_text", "reason"),
    [
        ("filters: {setParams: {a: '${none}'}}", "macro '${none}' found in a.filters.setParams"),
        ("filters: {setParamsByID: {'${x}': {}}}", "'${x}' found in a.filters.setParamsByID"),
        ("filters: {setParamsByID: {b: 1}}", 'gives "b" no mapping of request fields'),
        ("filters: {setParamsByID: {other: {}}}", "setParamsByID of a names other, which is an id"),
        ("filters: {setParams: [1]}", "must be a mapping"),
        ("metadata: {k: ['${none}']}", "macro '${none}' found in a.metadata"),
        ("macros: {PORT: 1}", "macro name 'PORT' is reserved"),
        ("macros: {x: '${x}'}", "use each other in a circle"),
        ("macros: {x: [1]}", '`macros.x` of model "a" must be text'),
        ("timeouts: {connect: soon}", '`timeouts.connect` of model "a" must be a whole number'),
        ("unloadTimeout: -1", "must be a whole number from 0"),
    ],
)
def test_it_refuses_bad_request_fields_with_line_and_reason(model_text: str, reason: str) -> None:
    text = f"models:\n  a:\n    cmd: x ${{PORT}}\n    {model_text}\n  b: {{aliases: [other]}}\n"
    caught = error(text)
    assert reason in caught.message
    assert caught.line == 4
