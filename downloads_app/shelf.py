"""Files of the same content that are on this machine already, put there by other programs.

A candidate is found by its size, or by its name where a program names files after their SHA-256;
it is taken only after its whole content was hashed.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path

from downloads_app.halt import Stopped
from downloads_app.trouble import of_disk
from models_app.models import GgufFile

BLOCK = 1024 * 1024
MOST_FILES = 20_000
"""Files looked at below one program's folder."""

Stop = Callable[[], bool]


@dataclass(frozen=True)
class Shelf:
    """Where to look. `by_size` holds the files of the tracked folders."""

    by_size: Mapping[int, tuple[Path, ...]] = field(default_factory=dict)
    hashed: tuple[Path, ...] = ()
    """Folders whose files are named after their SHA-256, or hold such folders."""
    loose: tuple[Path, ...] = ()
    """Folders with GGUF files under any name."""

    def find(self, sha256: str, size: int, but: Path) -> Path | None:
        """A file that is probably the one with this digest; None without one. Hashes nothing."""
        for path in self._candidates(sha256, size):
            if _size(path) == size and path != but:
                return path
        return None

    def _candidates(self, sha256: str, size: int) -> Iterator[Path]:
        for folder in self.hashed:
            yield folder / f"sha256-{sha256}"
            try:
                with os.scandir(folder) as entries:
                    repositories = [entry.path for entry in entries if entry.is_dir()]
            except OSError:
                continue
            for repository in repositories:
                yield Path(repository) / "blobs" / sha256
        yield from self.by_size.get(size, ())
        yield from self._loose_by_size.get(size, ())

    @cached_property
    def _loose_by_size(self) -> dict[int, list[Path]]:
        """Walked through once, for however many files are looked for."""
        found: dict[int, list[Path]] = {}
        for folder in self.loose:
            for path in islice(_ggufs(folder), MOST_FILES):
                found.setdefault(_size(path), []).append(path)
        return found


def shelf(environment: Mapping[str, str] = os.environ) -> Shelf:
    """This machine's: tracked folders, Hugging Face's cache, Ollama's blobs, LM Studio's models."""
    by_size: dict[int, tuple[Path, ...]] = {}
    readable = GgufFile.objects.exclude(state=GgufFile.State.VANISHED)
    for size, path in readable.values_list("size", "path"):
        by_size[size] = (*by_size.get(size, ()), Path(path))
    home = Path.home()
    cache = Path(environment.get("XDG_CACHE_HOME") or home / ".cache")
    hub = environment.get("HF_HUB_CACHE") or (
        Path(environment.get("HF_HOME") or cache / "huggingface") / "hub"
    )
    ollama = Path(environment.get("OLLAMA_MODELS") or home / ".ollama" / "models")
    return Shelf(
        by_size,
        hashed=(
            ollama / "blobs",
            Path("/usr/share/ollama/.ollama/models/blobs"),
            Path(hub),
        ),
        loose=(home / ".lmstudio" / "models", home / ".cache" / "lm-studio" / "models"),
    )


def sha256_of(path: Path, stop: Stop) -> str:
    """The digest of a whole file, in lower case. Raises OSError, and Stopped when `stop()`."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
            if stop():
                raise Stopped
    return digest.hexdigest()


def adopt(source: Path, target: Path, sha256: str, stop: Stop) -> bool:
    """Give the content of `source` the name `target`, if it really has this digest.

    By a hard link, or by a copy from another file system. Raises Trouble, Stopped.
    """
    try:
        if sha256_of(source, stop) != sha256:
            return False
        _link(source.resolve(), target)
    except OSError as error:
        raise of_disk(error, str(target.parent)) from error
    return True


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP):
            raise
        _copy(source, target)


def _copy(source: Path, target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".claracore-copy-") as scratch:
        whole = Path(scratch) / "data"
        shutil.copyfile(source, whole)
        whole.chmod(0o644)
        os.rename(whole, target)


def _ggufs(folder: Path) -> Iterator[Path]:
    for here, _, names in os.walk(folder):
        for name in names:
            if name.lower().endswith(".gguf"):
                yield Path(here) / name


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
