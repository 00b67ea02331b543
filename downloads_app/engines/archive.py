"""Unpacks a release's archive so that nothing in it can touch what lies outside.

Refused are absolute names, `..`, devices, sockets, names that stand for two files, links that
lead anywhere but to a file of the same archive, and archives that grow without measure. All files
are written into a folder that did not exist before; links are made after them, so no file is ever
written through one.
"""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

MOST_BYTES: Final = 8 * 1024**3
"""What an archive may hold unpacked. A CUDA build with its libraries takes some two GiB."""
MOST_TIMES: Final = 200
"""How much larger than the archive its content may be; zeros alone reach a thousand times."""
FREE_BYTES: Final = 64 * 1024**2
"""Up to here the measure is not looked at."""
MOST_ENTRIES: Final = 20_000

_BLOCK: Final = 1024 * 1024


class BadArchive(Exception):
    """The archive cannot be unpacked, or must not be; the text says why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One member of an archive."""

    name: str
    kind: str
    """"file", "folder", "link" (symbolic), "copy" (a hard link) or what it is that is refused."""
    size: int = 0
    target: str = ""
    executable: bool = False
    member: Any = None


def unpack(archive: Path, folder: Path) -> None:
    """Unpack into `folder`, which must not exist. Raises BadArchive and OSError.

    What was unpacked until then stays behind an error: the caller removes the folder.
    """
    try:
        with _opened(archive) as source:
            _unpack(source, folder, _budget(archive))
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise BadArchive(f"{archive.name} is damaged ({error}). Fetch it again.") from error
    except (NotImplementedError, RuntimeError) as error:
        # zipfile's words for a method it lacks, and for a password.
        raise BadArchive(f"{archive.name} cannot be unpacked: {error}.") from error


def _budget(archive: Path) -> int:
    return min(MOST_BYTES, max(FREE_BYTES, archive.stat().st_size * MOST_TIMES))


def _unpack(source: _Zip | _Tar, folder: Path, budget: int) -> None:
    folder.mkdir(parents=True)
    seen: dict[PurePosixPath, Entry] = {}
    links: list[tuple[PurePosixPath, Entry]] = []
    left = budget
    for count, entry in enumerate(source.entries(), start=1):
        if count > MOST_ENTRIES:
            raise BadArchive(f"It holds more than {MOST_ENTRIES:,} entries.")
        path = _inside(entry.name)
        if entry.kind == "folder":
            (folder / path).mkdir(parents=True, exist_ok=True)
            continue
        if path in seen or not path.parts:
            raise BadArchive(f"{entry.name!r} is in it twice, or is no name.")
        seen[path] = entry
        if entry.kind in ("link", "copy"):
            links.append((path, entry))
        elif entry.kind == "file":
            left -= _write(source, entry, folder / path, left)
        else:
            raise BadArchive(f"{entry.name!r} is {entry.kind}, which no build needs.")
    for path, entry in links:
        _link(folder, path, entry, seen)


def _inside(name: str) -> PurePosixPath:
    """The name as a path below the folder. Raises BadArchive."""
    path = PurePosixPath(name)
    drive = len(name) > 1 and name[1] == ":"
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or drive:
        raise BadArchive(f"{name!r} leads out of the archive's folder.")
    return path


def _write(source: _Zip | _Tar, entry: Entry, target: Path, left: int) -> int:
    """Write one file; returns its bytes. The sizes that archives tell are not believed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    mode = 0o755 if entry.executable else 0o644
    written = 0
    try:
        out = os.fdopen(os.open(target, flags, mode), "wb")
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise BadArchive(f"{entry.name!r} stands where something else of it stands.") from error
    with out, source.open(entry) as stream:
        while block := stream.read(_BLOCK):
            written += len(block)
            if written > left:
                raise BadArchive(
                    f"It unpacks to more than is sensible for its size, at {entry.name!r}."
                )
            out.write(block)
    return written


def _link(
    folder: Path, path: PurePosixPath, entry: Entry, seen: dict[PurePosixPath, Entry]
) -> None:
    """Libraries come under several names; each must be a file of the same archive in the end."""
    base = path.parent if entry.kind == "link" else PurePosixPath()
    goal = _inside(entry.target) if entry.kind == "copy" else _normal(base, entry)
    followed, steps = goal, 0
    while followed in seen and seen[followed].kind != "file":
        steps += 1
        if steps > 10:
            raise BadArchive(f"{entry.name!r} is a link that leads in a circle.")
        further = seen[followed]
        parent = followed.parent
        followed = _inside(further.target) if further.kind == "copy" else _normal(parent, further)
    if followed not in seen:
        raise BadArchive(f"{entry.name!r} is a link to {entry.target!r}, which is not in it.")
    place = folder / path
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        if entry.kind == "copy":
            os.link(folder / followed, place)
        else:
            place.symlink_to(os.path.relpath(folder / goal, place.parent))
    except FileExistsError as error:
        raise BadArchive(f"{entry.name!r} stands where something else of it stands.") from error


def _normal(base: PurePosixPath, entry: Entry) -> PurePosixPath:
    """Where a symbolic link leads. It may not climb, not even to come back down."""
    return base / _inside(entry.target)


# ---- The two formats ----------------------------------------------------------------------


class _Tar:
    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive

    def entries(self) -> Iterator[Entry]:
        for member in self._archive:
            yield Entry(
                name=member.name,
                kind=_kind_in_tar(member),
                size=member.size,
                target=member.linkname,
                executable=bool(member.mode & 0o111),
                member=member,
            )

    def open(self, entry: Entry) -> IO[bytes]:
        stream = self._archive.extractfile(entry.member)
        assert stream is not None
        return stream


class _Zip:
    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def entries(self) -> Iterator[Entry]:
        for member in self._archive.infolist():
            mode = member.external_attr >> 16
            kind = _kind_in_zip(member, mode)
            target = self._target(member) if kind == "link" else ""
            yield Entry(
                # What zipfile made of the name is not what is judged: it turns "\\" into "/".
                name=member.orig_filename,
                kind=kind,
                size=member.file_size,
                target=target,
                executable=bool(mode & 0o111) or mode == 0,
                member=member,
            )

    def open(self, entry: Entry) -> IO[bytes]:
        return self._archive.open(entry.member)

    def _target(self, member: zipfile.ZipInfo) -> str:
        with self._archive.open(member) as stream:
            return stream.read(4096).decode("utf-8", errors="replace")


def _kind_in_tar(member: tarfile.TarInfo) -> str:
    if member.isfile():
        return "file"
    if member.isdir():
        return "folder"
    if member.issym():
        return "link"
    return "copy" if member.islnk() else "a device or a pipe"


def _kind_in_zip(member: zipfile.ZipInfo, mode: int) -> str:
    if member.is_dir():
        return "folder"
    kind = stat.S_IFMT(mode)
    if kind == stat.S_IFLNK:
        return "link"
    return "file" if kind in (0, stat.S_IFREG) else "a device or a pipe"


@contextmanager
def _opened(archive: Path) -> Iterator[_Zip | _Tar]:
    if archive.name.lower().endswith(".zip"):
        with zipfile.ZipFile(archive) as zipped:
            yield _Zip(zipped)
    elif archive.name.lower().endswith((".tar.gz", ".tgz")):
        with tarfile.open(archive, "r:gz") as tarred:
            yield _Tar(tarred)
    else:
        raise BadArchive(f"{archive.name} is neither .zip nor .tar.gz.")


def is_archive(path: Path) -> bool:
    """Whether the name is one that `unpack` takes."""
    return path.name.lower().endswith((".zip", ".tar.gz", ".tgz"))


def copy_folder(source: Path, folder: Path) -> None:
    """The same folder once more, links as links. Raises OSError (shutil.Error among them)."""
    shutil.copytree(source, folder, symlinks=True)
