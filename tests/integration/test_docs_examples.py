"""Every example in the documentation is run, or its words are checked, or it says why not."""

from __future__ import annotations

import re
import subprocess
import sys
from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest
import yaml
from django.core.management import CommandError, get_commands, load_command_class

from claracore_site import env
from tests.doc_examples import PAGES, Block, blocks, commands, inline, prose
from tests.ggufs import write_reciter
from tests.server import ROOT, RunningServer, clean_environment, running_server

pytestmark = pytest.mark.lan

SHELL: Final = ("sh", "bash")
LANGUAGES: Final = (*SHELL, "python", "text", "yaml", "django", "ini", "sql")
"""A shell's and Python's are for people to run; the others show what something looks like."""

STAND_IN: Final = "gemma-3-270m"
"""The starter model, which the examples use; here another one goes by its name."""
ADDRESS: Final = "127.0.0.1:5800"

ONLY_LOOKING: Final = ("plan",)
"""Commands of manage.py that are run: they change nothing."""

OTHER_PROGRAMS: Final = frozenset({
    "apt-get", "chmod", "chown", "cp", "git", "install", "mkdir", "nano", "runuser", "systemctl",
    "useradd",
})  # fmt: skip
"""Whose words nobody checks here, but for the files of the checkout that they name."""

COMPOSE_ACTS: Final = frozenset({"up", "down", "exec", "logs", "pull", "build", "run", "restart"})

BLOCKS: Final = [block for page in PAGES for block in blocks(page)]
SHELL_BLOCKS: Final = [one for one in BLOCKS if one.language in SHELL and not one.excuse]
PYTHON_BLOCKS: Final = [one for one in BLOCKS if one.language == "python" and not one.excuse]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("models")
    write_reciter(folder / f"{STAND_IN}-q4_k_m.gguf", "The sea is wide and blue today.")
    with running_server(folder) as running:
        running.wait_for_models(STAND_IN)
        yield running


# ---- Nothing slips by ---------------------------------------------------------------------------


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_says_what_language_it_is_in(block: Block) -> None:
    assert block.language in LANGUAGES, f"{block} is in {block.language or 'no language'}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_commands_stand_outside_of_fenced_blocks(page: Path) -> None:
    found = re.findall(
        r"^ {4,}(?:\$|curl|make|docker|python|\S*manage\.py|\.venv)\b.*", prose(page), re.M
    )
    assert not found, "fence them, with ```sh, so that they are tested"


def test_there_is_something_to_run_and_little_is_excused() -> None:
    excused = [block for block in BLOCKS if block.excuse]
    assert len(SHELL_BLOCKS) > 2 * len(excused)
    assert PYTHON_BLOCKS


# ---- Blocks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", SHELL_BLOCKS, ids=str)
def test_the_commands_of_a_block_work(block: Block, server: RunningServer) -> None:
    for words in commands(block.text):
        _try(words, server)


@pytest.mark.parametrize("block", PYTHON_BLOCKS, ids=str)
def test_a_python_block_runs(block: Block, server: RunningServer) -> None:
    text = block.text.replace(ADDRESS, urlsplit(server.url).netloc)
    done = _run([sys.executable, "-c", text], server)
    assert done.stdout.strip()


def _try(words: list[str], server: RunningServer) -> None:
    """Run a command, or check its words. Raises AssertionError."""
    words = _without_variables(words)
    match words:
        case []:
            return
        case ["curl", *rest]:
            netloc = urlsplit(server.url).netloc
            arguments = [word.replace(ADDRESS, netloc) for word in rest]
            assert arguments != rest, f"no address of the server in {words}"
            _run(["curl", "--silent", "--show-error", "--fail-with-body", *arguments], server)
        case ["make", "-C", "/opt/claracore", *rest]:
            _check_make(rest)
        case ["make", *rest]:
            _check_make(rest)
        case ["docker", "compose", *rest]:
            _check_compose(rest)
        case ["/opt/claracore/deploy/systemd/manage", name, *rest]:
            _check_management(name, rest)
        case [".venv/bin/python", "manage.py", name, *rest]:
            _check_management(name, rest)
            if name in ONLY_LOOKING:
                _run([sys.executable, "manage.py", name, *rest], server)
        case [program, *rest]:
            assert program in OTHER_PROGRAMS, (
                f"Nothing is known of {program}: teach this module to check it, or put "
                "<!-- not run: why --> before the block."
            )
            _check_paths(rest)


def _run(command: list[str], server: RunningServer) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=clean_environment(server.home),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}\n{server.said()}"
    assert done.stdout.strip(), f"{command} said nothing"
    return done


def _without_variables(words: list[str]) -> list[str]:
    """A command without `export` and the variables before it, whose names are checked."""
    exported = words[:1] == ["export"]
    rest = words[1:] if exported else words
    while rest and (found := re.match(r"([A-Z][A-Z_]*)=", rest[0])):
        _check_variable(found[1])
        rest = rest[1:]
    assert not (exported and rest), f"not a variable: {rest}"
    return rest


def _check_variable(name: str) -> None:
    if name.startswith(env.PREFIX):
        assert name in _variables(), f"there is no variable {name}"


@cache
def _variables() -> frozenset[str]:
    """Variables of the server, of the containers, and of the test's own services."""
    compose = (ROOT / "docker-compose.yml").read_text() + (ROOT / ".env.example").read_text()
    return env.known() | set(re.findall(r"CLARACORE_\w+", compose))


def _check_make(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = [word for word in words if "=" not in word]
    given = dict(word.split("=", 1) for word in words if "=" in word)
    for target in targets:
        assert re.search(rf"^{re.escape(target)}:", makefile, re.M), f"make {target}"
    for name in given:
        assert re.search(rf"^{name} [?:]?= ?", makefile, re.M), f"make {name}="
    if set(targets) & {"run", "demo"}:
        _check_management("serve", given.get("ARGS", "").split())


def _check_compose(words: list[str]) -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    words = [word for word in words if not word.startswith("-")]
    act, named = words[0], words[1:2]
    assert act in COMPOSE_ACTS, f"docker compose {act}"
    assert not named or named[0] in services, f"no service {named}"
    if "manage.py" in words:
        at = words.index("manage.py")
        _check_management(words[at + 1], words[at + 2 :])


def _check_management(name: str, words: list[str]) -> None:
    """Have the command's own parser read the words."""
    try:
        _parser(name).parse_args(words)
    except (CommandError, SystemExit) as error:
        raise AssertionError(f"manage.py {name} {' '.join(words)}: {error}") from None


@cache
def _parser(name: str) -> ArgumentParser:
    assert name in get_commands(), f"there is no command manage.py {name}"
    found = get_commands()[name]
    command = load_command_class(found, name) if isinstance(found, str) else found
    return command.create_parser("manage.py", name)


def _check_paths(words: list[str]) -> None:
    for word in words:
        word = word.removeprefix("/opt/claracore/")
        if word.startswith(("deploy/", "tools/", "docs/", "tests/")):
            assert (ROOT / word).exists(), f"there is no {word}"


# ---- What stands in the middle of a sentence ----------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_variables_of_a_page_exist(page: Path) -> None:
    for name in re.findall(r"\bCLARACORE_[A-Z_]*[A-Z]\b", page.read_text()):
        _check_variable(name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_within_sentences_exist(page: Path) -> None:
    for code in inline(page):
        words = code.replace("\\|", "|").split()
        if words[:1] == [".venv/bin/python"]:
            words = words[1:]
        if words[0] == "manage.py" and words[1:2] not in ([], ["…"]):
            options = _options(_parser(words[1]))
            for word in words[2:]:
                flag = word.partition("=")[0].rstrip(",")
                assert not flag.startswith("--") or flag in options, f"{page.name}: {code}"
        elif words[0] == "make" and len(words) > 1:
            _check_make([word for word in words[1:2] if word.isidentifier()])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_exist(page: Path) -> None:
    for code in inline(page):
        if re.fullmatch(r"(?:deploy|tools|docs|tests|bench|static|templates)/[\w./-]*\w", code):
            assert (ROOT / code).exists(), f"{page.name}: there is no {code}"


def _options(parser: ArgumentParser) -> set[str]:
    """All options of a command, those of its acts as well."""
    found = set(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action, _SubParsersAction):
            found |= {option for one in action.choices.values() for option in _options(one)}
    return found
