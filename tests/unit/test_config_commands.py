from __future__ import annotations

import re
import shlex

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from models_app.config_yaml import ConfigError, ExpandedCommand, expand, tokenise, words
from models_app.document import ConfigDocument, ModelEntry

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def expanded(cmd: str = "run ${PORT}", **fields: object) -> ExpandedCommand:
    macros = fields.pop("macros", {})
    environ = fields.pop("environ", {})
    entry = ModelEntry(str(fields.pop("model_id", "a")), cmd=cmd, **fields)  # type: ignore[arg-type]
    document = ConfigDocument(models={"a": entry}, macros=macros)  # type: ignore[arg-type]
    return expand(entry, document, 8100, environ)  # type: ignore[arg-type]


# ---- Words -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cmd", "expected"),
    [
        ("a b  c", ["a", "b", "c"]),
        ("a\nb\r\n\tc\n", ["a", "b", "c"]),
        ("a 'b c' \"d e\"", ["a", "b c", "d e"]),
        ("a --gpus '\"device=2,3\"'", ["a", "--gpus", '"device=2,3"']),
        ("a b'c d'e\"f\"", ["a", "bc def"]),
        ("a ''", ["a", ""]),
        (r"a b\ c \"d \\", ["a", "b c", '"d', "\\"]),
        (r'''a "b\"c\\d\e"''', ["a", r'b"c\d\e']),
        (r"a 'b\c'", ["a", r"b\c"]),
        ("a b#c #d", ["a", "b#c", "#d"]),
        ("# first\na\n  # don't\n\t# ${ghost}\nb", ["a", "b"]),
        ("a \\\nb\\\nc", ["a", "b", "c"]),
        ("a \\  \nb", ["a", "b"]),
        ("a \\\r\nb", ["a", "b"]),
        ("a b \\", ["a", "b"]),
        ("a \\\n# gone \\\nb", ["a", "b"]),
        ("a 'one\n# two\\\nthree'", ["a", "one\n# two\\\nthree"]),
        ('a "one \\\n two"', ["a", "one   two"]),
        ("a $HOME `b` $(c) *;|&>~", ["a", "$HOME", "`b`", "$(c)", "*;|&>~"]),
    ],
)
def test_a_command_is_split_like_a_shell_would_and_nothing_else(
    cmd: str, expected: list[str]
) -> None:
    assert list(tokenise(cmd)) == expected


@pytest.mark.parametrize("cmd", ["", " \n\t", "# only this", "\\\n", "''", "'' a"])
def test_an_empty_command_is_refused(cmd: str) -> None:
    with pytest.raises(ConfigError, match="empty command"):
        tokenise(cmd)


@pytest.mark.parametrize("cmd", ["a 'b", 'a "b', "a 'b\nc", 'a "b\\"'])
def test_an_open_quote_is_refused_and_shown(cmd: str) -> None:
    with pytest.raises(ConfigError, match=r"never closed: ['\"]b"):
        tokenise(cmd)


@UNHURRIED
@given(st.text("ab '\"\\#\n\t$", max_size=25))
def test_it_splits_as_the_standard_library_does(cmd: str) -> None:
    # These two are ours: comment lines, and line breaks behind a backslash.
    assume(not re.search(r"^[ \t]*#|\\[ \t]*(\n|$)", cmd, re.MULTILINE))
    try:
        expected = shlex.split(cmd)
    except ValueError:
        with pytest.raises(ConfigError):
            tokenise(cmd)
    else:
        if expected and expected[0]:
            assert list(tokenise(cmd)) == expected


@UNHURRIED
@given(st.lists(st.text(st.characters(exclude_characters="\0"), min_size=1), min_size=1))
def test_quoted_words_come_back_whatever_is_in_them(argv: list[str]) -> None:
    assert list(tokenise("\n".join(map(shlex.quote, argv)))) == argv
    assert list(tokenise(shlex.join(argv))) == argv


# ---- Macros ----------------------------------------------------------------------------------


def test_it_fills_in_macros_within_macros() -> None:
    macros = {"base": "${bin} --port ${PORT}", "bin": "/opt/${name}", "name": "llama-server"}
    assert expanded("${base} -m x", macros=macros).argv == (
        "/opt/llama-server",
        "--port",
        "8100",
        "-m",
        "x",
    )


def test_macros_act_in_every_field_that_has_them() -> None:
    command = expanded(
        "run ${PORT}",
        cmd_stop="stop ${m} ${MODEL_ID} ${PORT}",
        proxy="http://${m}:${PORT}",
        check_endpoint="/${m}",
        strip_params=("a", "${list}", "b"),
        macros={"m": "x", "list": "c, a"},
    )
    assert command.cmd_stop == ("stop", "x", "a", "8100")
    assert command.proxy == "http://x:8100"
    assert command.check_endpoint == "/x"
    assert command.strip_params == ("a", "c", "b")


def test_a_macro_may_hold_many_words_and_comment_lines() -> None:
    macros = {"flags": "--a 1\n# not this\n--b '2 3'"}
    assert expanded("run ${PORT} ${flags}", macros=macros).argv == (
        "run",
        "8100",
        "--a",
        "1",
        "--b",
        "2 3",
    )


def test_an_id_stays_one_word_whatever_is_in_it() -> None:
    command = expanded("run ${PORT} -a ${MODEL_ID}", model_id='it\'s "my" ${PORT} model')
    assert command.argv == ("run", "8100", "-a", 'it\'s "my" ${PORT} model')


def test_a_name_that_quotes_take_apart_is_text() -> None:
    command = expanded("run ${PORT} '/a/$''{PORT}/$''{MODEL_ID}/$''{ghost}'")
    assert command.argv == ("run", "8100", "/a/${PORT}/${MODEL_ID}/${ghost}")


def test_comment_lines_may_name_macros_that_do_not_exist() -> None:
    assert expanded("# ${ghost}\nrun ${PORT}").argv == ("run", "8100")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"cmd": "run ${PORT} ${ghost}"}, r"unknown macro '\$\{ghost\}' found in a\.cmd"),
        ({"cmd_stop": "stop ${ghost}"}, r"found in a\.cmdStop"),
        ({"proxy": "http://${ghost}"}, r"found in a\.proxy"),
        ({"check_endpoint": "/${ghost}"}, r"found in a\.checkEndpoint"),
        ({"cmd": "run ${PORT} ${PID}"}, r"\$\{PID\}' found in a\.cmd"),
        ({"cmd": "run"}, "proxy uses .* but cmd does not"),
        ({"cmd": "# run ${PORT}\nrun"}, "proxy uses .* but cmd does not"),
        ({"cmd": ""}, "empty command"),
        ({"cmd": "run ${PORT} '"}, "never closed"),
        ({"cmd": "run ${PORT} \0PORT\0"}, r"a\.cmd holds a \\0"),
        ({"cmd": "run ${PORT} ${env.GHOST}"}, "environment variable GHOST is not set"),
    ],
)
def test_what_cannot_be_started_says_why(fields: dict[str, str], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        expanded(**{"cmd": "run ${PORT}", **fields})


def test_a_command_without_a_port_may_serve_a_fixed_address() -> None:
    command = expanded("docker start x", proxy="http://127.0.0.1:9000")
    assert command.argv == ("docker", "start", "x")
    assert command.proxy == "http://127.0.0.1:9000"


def test_the_stop_command_gets_the_process_id_when_it_is_needed() -> None:
    command = expanded(cmd_stop="kill -TERM ${PID}")
    assert command.cmd_stop == ("kill", "-TERM", "${PID}")
    assert command.stop_argv(4711) == ("kill", "-TERM", "4711")
    assert expanded(cmd_stop="  \n").stop_argv(1) == ()


def test_environment_variables_come_from_the_servers_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SOME_FOLDER", "/models")
    entry = ModelEntry("a", cmd="run ${PORT} ${env.SOME_FOLDER}/x ${m}")
    document = ConfigDocument(models={"a": entry}, macros={"m": "${env.SOME_FOLDER}/y"})
    assert expand(entry, document, 1).argv == ("run", "1", "/models/x", "/models/y")


def test_a_variables_value_is_not_looked_at_again() -> None:
    command = expanded("run ${PORT} '${env.X}'", environ={"X": "${env.Y} ${m}"}, macros={"m": "1"})
    assert command.argv == ("run", "8100", "${env.Y} ${m}")


def test_the_port_may_be_left_open() -> None:
    entry = ModelEntry("a", cmd="run --port ${PORT}")
    command = expand(entry, ConfigDocument(), "${PORT}")
    assert command.argv == ("run", "--port", "${PORT}")
    assert command.proxy == "http://127.0.0.1:${PORT}"


def test_words_are_what_would_be_executed_with_the_port_left_open() -> None:
    entry = ModelEntry("a", cmd="# x\n${m} ${PORT} ${MODEL_ID}")
    assert words(entry, ConfigDocument(macros={"m": "run it"})) == (
        "run",
        "it",
        "${PORT}",
        "${MODEL_ID}",
    )
