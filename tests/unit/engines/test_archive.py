"""Archives that want to write elsewhere, or everything."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from downloads_app.engines import archive
from downloads_app.engines.archive import BadArchive, unpack

Make = Callable[[tarfile.TarFile], None]


def tarred(folder: Path, make: Make) -> Path:
    path = folder / "build.tar.gz"
    with tarfile.open(path, "w:gz") as out:
        make(out)
    return path


def zipped(folder: Path, *entries: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    path = folder / "build.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, data in entries:
            out.writestr(name, data)
    return path


def file(out: tarfile.TarFile, name: str, data: bytes = b"data", mode: int = 0o644) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), mode
    out.addfile(info, io.BytesIO(data))


def special(out: tarfile.TarFile, name: str, kind: bytes, target: str = "") -> None:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    out.addfile(info)


def all_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def refused(tmp_path: Path, path: Path, match: str) -> None:
    """It is refused, and nothing has appeared beside the folder it was for."""
    before = set(os.listdir(tmp_path)) | {"out"}
    with pytest.raises(BadArchive, match=match):
        unpack(path, tmp_path / "out" / "build")
    assert set(os.listdir(tmp_path)) <= before


def test_it_unpacks_a_tar_with_programs_and_links_between_its_libraries(tmp_path: Path) -> None:
    def make(out: tarfile.TarFile) -> None:
        special(out, "llama-b9000/libllama.so", tarfile.SYMTYPE, "libllama.so.0")
        special(out, "llama-b9000/libllama.so.0", tarfile.SYMTYPE, "libllama.so.0.0.1")
        file(out, "llama-b9000/libllama.so.0.0.1", b"library")
        file(out, "llama-b9000/llama-server", b"program", 0o755)
        special(out, "llama-b9000/same", tarfile.LNKTYPE, "llama-b9000/llama-server")

    unpack(tarred(tmp_path, make), tmp_path / "out")
    build = tmp_path / "out" / "llama-b9000"
    assert (build / "libllama.so").read_bytes() == b"library"
    assert (build / "same").read_bytes() == b"program"
    assert stat.S_IMODE((build / "llama-server").stat().st_mode) & 0o111


def test_it_unpacks_a_zip_of_windows_and_of_unix(tmp_path: Path) -> None:
    program = zipfile.ZipInfo("build/bin/llama-server")
    program.external_attr = (stat.S_IFREG | 0o755) << 16
    link = zipfile.ZipInfo("build/bin/libllama.so")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = zipped(
        tmp_path, ("ggml.dll", b"library"), (program, b"program"), (link, b"llama-server")
    )
    unpack(path, tmp_path / "out")
    assert (tmp_path / "out" / "ggml.dll").read_bytes() == b"library"
    assert os.access(tmp_path / "out" / "build/bin/llama-server", os.X_OK)
    assert (tmp_path / "out" / "build/bin/libllama.so").read_bytes() == b"program"


@pytest.mark.parametrize(
    "name", ["../evil", "/evil", "a/../../evil", "a/..", "C:evil", "..\\evil", "a\\b"]
)
def test_it_refuses_names_that_lead_out_of_a_tar(tmp_path: Path, name: str) -> None:
    refused(tmp_path, tarred(tmp_path, lambda out: file(out, name)), "leads out")


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "C:\\evil", "..\\evil"])
def test_it_refuses_names_that_lead_out_of_a_zip(tmp_path: Path, name: str) -> None:
    """The first ClaraCore unpacked zips without a look at their names."""
    refused(tmp_path, zipped(tmp_path, (name, b"evil")), "leads out")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("target", ["/etc/passwd", "../../evil", "nowhere"])
def test_it_refuses_links_to_what_is_not_in_the_archive(
    tmp_path: Path, kind: bytes, target: str
) -> None:
    path = tarred(tmp_path, lambda out: special(out, "link", kind, target))
    refused(tmp_path, path, "leads out|not in it")


def test_it_refuses_to_write_through_a_link(tmp_path: Path) -> None:
    def make(out: tarfile.TarFile) -> None:
        file(out, "real")
        special(out, "folder", tarfile.SYMTYPE, "real")
        file(out, "folder/evil")

    refused(tmp_path, tarred(tmp_path, make), "stands where")


def test_it_refuses_links_in_a_circle(tmp_path: Path) -> None:
    def make(out: tarfile.TarFile) -> None:
        special(out, "a", tarfile.SYMTYPE, "b")
        special(out, "b", tarfile.SYMTYPE, "a")

    refused(tmp_path, tarred(tmp_path, make), "circle")


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_it_refuses_devices_and_pipes(tmp_path: Path, kind: bytes) -> None:
    refused(tmp_path, tarred(tmp_path, lambda out: special(out, "odd", kind)), "device or a pipe")


def test_it_refuses_a_link_of_a_zip_that_leads_out(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    refused(tmp_path, zipped(tmp_path, (link, b"/etc/passwd")), "leads out")


def test_it_refuses_one_name_for_two_files(tmp_path: Path) -> None:
    def make(out: tarfile.TarFile) -> None:
        file(out, "twice")
        file(out, "./twice")

    refused(tmp_path, tarred(tmp_path, make), "twice")


def test_it_stops_at_a_bomb_before_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "FREE_BYTES", 1024 * 1024)
    zeros = bytes(8 * 1024 * 1024)
    refused(tmp_path, tarred(tmp_path, lambda out: file(out, "zeros", zeros)), "sensible")
    written = (tmp_path / "out" / "build" / "zeros").stat().st_size
    assert written <= 3 * 1024 * 1024
    refused(tmp_path / "out", zipped(tmp_path, ("zeros", zeros)), "sensible")


def test_it_refuses_more_entries_than_any_build_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MOST_ENTRIES", 10)

    def make(out: tarfile.TarFile) -> None:
        for number in range(11):
            file(out, str(number), b"")

    refused(tmp_path, tarred(tmp_path, make), "more than 10 entries")


@pytest.mark.parametrize("ending", [".zip", ".tar.gz"])
def test_it_says_of_a_damaged_archive_that_it_is(tmp_path: Path, ending: str) -> None:
    path = (
        zipped(tmp_path, ("a", os.urandom(5000)))
        if ending == ".zip"
        else tarred(tmp_path, lambda out: file(out, "a", os.urandom(5000)))
    )
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(BadArchive, match="damaged"):
        unpack(path, tmp_path / "out")
    path.write_bytes(b"<html>Sign in</html>")
    with pytest.raises(BadArchive, match="damaged"):
        unpack(path, tmp_path / "out2")


def test_it_takes_no_other_formats(tmp_path: Path) -> None:
    odd = tmp_path / "build.7z"
    odd.write_bytes(b"7z")
    with pytest.raises(BadArchive, match="neither"):
        unpack(odd, tmp_path / "out")
