from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from models_app.walk import Identity, Walk, identities, shown, walk


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may look into every folder, so it steps down where that matters."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A temporary folder that every user may enter."""
    with TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def put(path: Path, data: bytes = b"GGUF") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def names(found: Walk) -> list[str]:
    return [file.relative_path for file in found.files]


def test_it_finds_gguf_files_at_every_depth_in_order(tmp_path: Path) -> None:
    for name in ("b.gguf", "a/x.gguf", "a/deep/er/y.GGUF", "notes.txt", "b.gguf.bak"):
        put(tmp_path / name)

    assert names(walk(str(tmp_path))) == ["a/deep/er/y.GGUF", "a/x.gguf", "b.gguf"]


def test_it_tells_size_and_time_of_each_file(tmp_path: Path) -> None:
    path = put(tmp_path / "a.gguf", b"12345")
    os.utime(path, ns=(1, 1_700_000_000_123_456_789))

    (file,) = walk(str(tmp_path)).files

    assert (file.path, file.size, file.mtime_ns) == (str(path), 5, 1_700_000_000_123_456_789)


def test_it_stays_in_the_folder_itself_when_not_recursive(tmp_path: Path) -> None:
    put(tmp_path / "a.gguf")
    put(tmp_path / "sub" / "b.gguf")

    assert names(walk(str(tmp_path), recursive=False)) == ["a.gguf"]


def test_it_skips_hidden_and_unfinished_files(tmp_path: Path) -> None:
    for name in ("._a.gguf", ".cache/b.gguf", "c.gguf.part", "d.part", ".gguf"):
        put(tmp_path / name)

    found = walk(str(tmp_path))

    assert (names(found), found.problems) == ([], [])


@pytest.mark.parametrize(
    "name", ["two words.gguf", "模型 ж.gguf", "line\nbreak.gguf", "'\"$().gguf"]
)
def test_it_takes_any_name_that_is_utf8(tmp_path: Path, name: str) -> None:
    put(tmp_path / name)

    assert names(walk(str(tmp_path))) == [name]


def test_it_reports_a_name_that_is_not_utf8_and_goes_on(tmp_path: Path) -> None:
    put(tmp_path / "good.gguf")
    broken = os.fsencode(tmp_path) + b"/\xff.gguf"
    with open(broken, "wb"):
        pass

    found = walk(str(tmp_path))

    assert names(found) == ["good.gguf"]
    assert found.problems == [f"{tmp_path}/\\xff.gguf: the name is not UTF-8; rename the file."]


def test_it_survives_links_that_lead_in_circles(tmp_path: Path) -> None:
    put(tmp_path / "a" / "x.gguf")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to(tmp_path / "self")

    assert names(walk(str(tmp_path))) == ["a/x.gguf"]


def test_it_follows_links_to_folders_and_files_elsewhere(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    put(outside / "m" / "x.gguf")
    blob = put(outside / "blobs" / "sha256-1234")
    inside.mkdir()
    (inside / "linked").symlink_to(outside / "m")
    (inside / "named.gguf").symlink_to(blob)

    assert names(walk(str(inside))) == ["linked/x.gguf", "named.gguf"]


def test_it_counts_a_file_once_and_under_its_real_name(tmp_path: Path) -> None:
    put(tmp_path / "real" / "x.gguf")
    # These sort before the real folder and are yet not what the file is kept under.
    (tmp_path / "alias").symlink_to(tmp_path / "real")
    (tmp_path / "also.gguf").symlink_to(tmp_path / "real" / "x.gguf")

    assert names(walk(str(tmp_path))) == ["real/x.gguf"]


def test_it_reports_a_link_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").symlink_to(tmp_path / "gone")

    found = walk(str(tmp_path))

    assert names(found) == []
    assert found.problems == [f"{tmp_path}/x.gguf: it leads to nothing."]


def test_it_passes_over_what_is_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    put(tmp_path / "folder.gguf" / "x.gguf")

    assert names(walk(str(tmp_path))) == ["folder.gguf/x.gguf"]


def test_it_notes_a_folder_that_is_shut_and_reads_the_others(public_folder: Path) -> None:
    put(public_folder / "open" / "x.gguf")
    shut = put(public_folder / "shut" / "y.gguf").parent
    shut.chmod(0)

    with as_nobody():
        found = walk(str(public_folder))

    shut.chmod(0o700)
    assert names(found) == ["open/x.gguf"]
    assert found.problems == [f"{shut}: Permission denied."]
    assert found.is_closed(str(shut / "y.gguf"))
    assert not found.is_closed(str(public_folder / "open" / "x.gguf"))
    assert found.error == ""


def test_a_missing_folder_is_its_error_and_holds_nothing_shut(tmp_path: Path) -> None:
    found = walk(str(tmp_path / "gone"))

    assert found.error == f"{tmp_path}/gone: it is not there."
    assert not found.is_closed(str(tmp_path / "gone" / "x.gguf"))


def test_a_folder_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    found = walk(str(put(tmp_path / "file")))

    assert found.error == f"{tmp_path}/file: Not a directory."


def test_it_leaves_files_to_the_folders_tracked_below(tmp_path: Path) -> None:
    for name in ("a.gguf", "all/b.gguf", "all/sub/c.gguf", "flat/d.gguf", "flat/sub/e.gguf"):
        put(tmp_path / name)
    others = identities([(str(tmp_path / "all"), True), (str(tmp_path / "flat"), False)])

    # A folder tracked without those below it leaves these to the outer one.
    assert names(walk(str(tmp_path), others=others)) == ["a.gguf", "flat/sub/e.gguf"]


def test_it_tells_of_each_folder_and_can_be_ended_by_that(tmp_path: Path) -> None:
    put(tmp_path / "sub" / "x.gguf")
    told: list[str] = []

    walk(str(tmp_path), on_folder=told.append)

    assert told == [str(tmp_path), str(tmp_path / "sub")]

    def stop(folder: str) -> None:
        raise InterruptedError(folder)

    with pytest.raises(InterruptedError):
        walk(str(tmp_path), on_folder=stop)


def test_identities_leave_out_what_is_not_there(tmp_path: Path) -> None:
    known = identities([(str(tmp_path), True), (str(tmp_path / "gone"), True), ("nul\0", True)])

    assert known == {Identity.of(os.stat(tmp_path)): True}


def test_a_path_is_shown_on_one_line() -> None:
    assert shown("/m/a\nb/ü/\udcff.gguf") == "/m/a\\nb/ü/\\xff.gguf"
