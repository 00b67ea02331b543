"""Which GGUF files lie in a folder. Nothing is opened here: names, sizes and times only."""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class Identity(NamedTuple):
    """What a file or folder is under all its names: links lead to the same identity."""

    device: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> Identity:
        return cls(status.st_dev, status.st_ino)


class FoundFile(NamedTuple):
    """A file as the walk saw it. `relative_path` is below the walked folder; size in bytes."""

    path: str
    relative_path: str
    size: int
    mtime_ns: int


@dataclass(slots=True)
class Walk:
    """What a folder holds. `problems` are sentences, `closed` the folders that stay unseen.

    `error` is the problem with the walked folder itself, "" when it could be read.
    """

    files: list[FoundFile] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    error: str = ""

    def is_closed(self, path: str) -> bool:
        """Whether `path` lies in a folder that could not be looked into."""
        return any(path.startswith(os.path.join(folder, "")) for folder in self.closed)


def walk(
    folder: str,
    *,
    recursive: bool = True,
    others: Mapping[Identity, bool] | None = None,
    roots: Collection[str] | None = None,
    on_folder: Callable[[str], None] = lambda folder: None,
) -> Walk:
    """The GGUF files in `folder`, sorted by path. A folder that is missing is a problem, no error.

    `others` are folders tracked on their own, True for those tracked with all below them: their
    files are not this folder's. Hidden files and folders are skipped. Links are followed; what
    can be reached in several ways counts once, under its real path when that is in `folder`. A link
    that leads out of all `roots`, which are real paths, is a problem; None lets them lead anywhere.
    `on_folder` hears of each folder before it is read, and ends the walk by raising.
    """
    walker = _Walker(folder, recursive, others or {}, roots, on_folder)
    walker.run()
    walker.found.files.sort()
    return walker.found


def identities(folders: Collection[tuple[str, bool]]) -> dict[Identity, bool]:
    """`folders` (path, recursive) as `walk` takes them; those that are not there are left out."""
    known = {}
    for path, recursive in folders:
        try:
            known[Identity.of(os.stat(path))] = recursive
        except (OSError, ValueError):
            continue
    return known


def is_inside(path: str, roots: Collection[str]) -> bool:
    """Whether a path is one of the roots or lies below one once every link is followed."""
    try:
        real = os.path.realpath(path)
    except ValueError:  # no system has such a name
        return False
    return any(real == root or real.startswith(os.path.join(root, "")) for root in roots)


class _Walker:
    def __init__(
        self,
        folder: str,
        recursive: bool,
        others: Mapping[Identity, bool],
        roots: Collection[str] | None,
        on_folder: Callable[[str], None],
    ) -> None:
        self.found = Walk()
        self._root = folder
        self._recursive = recursive
        self._others = others
        self._roots = roots
        self._on_folder = on_folder
        self._seen: set[Identity] = set()
        # Real folders and files come before linked ones, so that the name an entry is kept under
        # does not depend on where a link happens to sort.
        self._folders: deque[str] = deque([folder])
        self._linked_folders: deque[str] = deque()
        self._linked_files: list[str] = []

    def run(self) -> None:
        while self._folders or self._linked_folders:
            queue = self._folders or self._linked_folders
            self._enter(queue.popleft())
        for path in sorted(self._linked_files):
            self._take(path)

    def _enter(self, folder: str) -> None:
        self._on_folder(folder)
        try:
            identity = Identity.of(os.stat(folder))
            if identity in self._seen:
                return
            self._seen.add(identity)
            tracked = None if folder == self._root else self._others.get(identity)
            if tracked:
                return
            with os.scandir(folder) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except (OSError, ValueError) as error:
            self._miss(folder, error)
            return
        for entry in listed:
            self._sort_in(entry, take_files=tracked is None)

    def _sort_in(self, entry: os.DirEntry[str], *, take_files: bool) -> None:
        if entry.name.startswith("."):
            return
        try:
            linked, is_folder = entry.is_symlink(), entry.is_dir()
        except OSError as error:
            self.found.problems.append(_sentence(entry.path, error))
            return
        if linked and not self._may_lead(entry):
            return
        if is_folder:
            if self._recursive:
                (self._linked_folders if linked else self._folders).append(entry.path)
        elif take_files and entry.name.lower().endswith(".gguf"):
            if linked:
                self._linked_files.append(entry.path)
            else:
                self._take(entry.path)

    def _may_lead(self, entry: os.DirEntry[str]) -> bool:
        if self._roots is None or is_inside(entry.path, self._roots):
            return True
        if entry.name.lower().endswith(".gguf") or entry.is_dir():
            goal = shown(os.path.realpath(entry.path))
            self.found.problems.append(
                f"{shown(entry.path)}: it leads to {goal}, outside the folders that models may "
                "come from. Track that folder, or name it in CLARACORE_MODEL_ROOTS."
            )
        return False

    def _take(self, path: str) -> None:
        try:
            status = os.stat(path)
            path.encode()
        except UnicodeEncodeError:
            self.found.problems.append(f"{shown(path)}: the name is not UTF-8; rename the file.")
            return
        except OSError as error:
            self.found.problems.append(_sentence(path, error))
            return
        identity = Identity.of(status)
        if not stat.S_ISREG(status.st_mode) or identity in self._seen:
            return
        self._seen.add(identity)
        relative = os.path.relpath(path, self._root)
        self.found.files.append(FoundFile(path, relative, status.st_size, status.st_mtime_ns))

    def _miss(self, folder: str, error: OSError | ValueError) -> None:
        problem = _sentence(folder, error)
        self.found.problems.append(problem)
        if folder == self._root:
            self.found.error = problem
        # A folder that is gone took its files along; one that is shut may still hold them.
        if not isinstance(error, FileNotFoundError):
            self.found.closed.append(folder)


def shown(path: str) -> str:
    """`path` on one line and in characters that every terminal and database takes."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _sentence(path: str, error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):
        reason = "it leads to nothing" if os.path.islink(path) else "it is not there"
    else:
        reason = getattr(error, "strerror", None) or str(error)
    return f"{shown(path)}: {reason}."
