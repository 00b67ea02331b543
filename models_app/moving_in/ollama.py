"""Ollama's folder of models: manifests, and blobs under the name of their SHA-256.

A blob has no name that says what it is, so each model gets a folder with hard links of good names:
no space is taken, and neither side notices when the other deletes its own. Manifests are JSON of
the OCI image format, with Ollama's media types for the layers.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from models_app import adding, answering
from models_app.moving_in.report import CannotMoveIn, Report
from models_app.moving_in.tracking import Show, track

_TYPE: Final = "application/vnd.ollama.image."
_DIGEST: Final = re.compile(r"sha256:([0-9a-f]{64})")
_MOST_BYTES: Final = 1024 * 1024
_NOT_TAKEN: Final = {
    "adapter": "an adapter (LoRA)",
    "system": "a system prompt",
    "template": "a prompt template; the file's own is used",
    "messages": "example messages",
}


@dataclass(frozen=True, slots=True)
class Manifest:
    """A model: its name as clients of Ollama write it, and its blobs by kind."""

    name: str
    blobs: Mapping[str, str]
    """SHA-256 by kind: model, projector, params, …"""

    @property
    def file_name(self) -> str:
        """The name as one that files can have."""
        return re.sub(r"[^A-Za-z0-9._-]+", "-", self.name.removesuffix(":latest")).strip("-.")


def places(environment: Mapping[str, str] = os.environ) -> list[Path]:
    """Where Ollama keeps models."""
    chosen = environment.get("OLLAMA_MODELS")
    usual = [Path.home() / ".ollama" / "models", Path("/usr/share/ollama/.ollama/models")]
    return [Path(chosen), *usual] if chosen else usual


def take(folder: Path, to: Path, show: Show, *, copy: bool = False) -> Report:
    """Bring the models of an Ollama folder to `to`, which is tracked then.

    With `copy` the files are copied where they cannot be linked. Raises CannotMoveIn.
    """
    if not (folder / "manifests").is_dir() or not (folder / "blobs").is_dir():
        raise CannotMoveIn(f"{folder} has no manifests and blobs. Name Ollama's folder of models.")
    report = Report()
    placed: dict[str, Path] = {}
    by_content: dict[tuple[str | None, ...], Path] = {}
    for manifest in manifests(folder, report):
        # Several names may stand for the same files; here one model answers to all of them.
        content = (manifest.blobs.get("model"), manifest.blobs.get("projector"))
        model = by_content.get(content) or _place(manifest, folder / "blobs", to, copy, report)
        if model:
            placed[manifest.name] = by_content[content] = model
            report.notes += [
                f"{manifest.name}: {what} was not taken."
                for kind, what in _NOT_TAKEN.items()
                if kind in manifest.blobs
            ]
    if not placed:
        report.notes.append(f"{folder} has no model that could be taken.")
        return report
    track({str(to): True}, report, show)
    for name, path in placed.items():
        _give_name(name, path, report)
    return report


def manifests(folder: Path, report: Report) -> Iterator[Manifest]:
    """The models that an Ollama folder lists."""
    root = folder / "manifests"
    for file in sorted(path for path in root.rglob("*") if path.is_file()):
        parts = file.relative_to(root).parts
        if len(parts) < 3 or file.name.startswith("."):
            continue
        name = _name(parts)
        try:
            yield Manifest(name, _blobs(file))
        except (OSError, ValueError) as error:
            report.notes.append(f"{name}: its manifest cannot be read: {error}.")


def _name(parts: tuple[str, ...]) -> str:
    """For example registry.ollama.ai/library/llama3.2/3b is llama3.2:3b."""
    host, *namespace, model, tag = parts
    if namespace == ["library"]:
        return f"{model}:{tag}"
    places = namespace if host == "registry.ollama.ai" else [host, *namespace]
    return "/".join([*places, f"{model}:{tag}"])


def _blobs(file: Path) -> dict[str, str]:
    if file.stat().st_size > _MOST_BYTES:
        raise ValueError("it is far too large")
    value: Any = json.loads(file.read_bytes())
    layers = value.get("layers") if isinstance(value, dict) else None
    if not isinstance(layers, list):
        raise ValueError("it lists no layers")
    blobs = {}
    for layer in layers:
        media, digest = str(layer.get("mediaType", "")), str(layer.get("digest", ""))
        if media.startswith(_TYPE) and (found := _DIGEST.fullmatch(digest)):
            blobs[media.removeprefix(_TYPE)] = found[1]
    return blobs


def _place(manifest: Manifest, blobs: Path, to: Path, copy: bool, report: Report) -> Path | None:
    """Where the model's file is now; None when it was not taken."""
    sources = {
        kind: blobs / f"sha256-{manifest.blobs[kind]}"
        for kind in ("model", "projector")
        if kind in manifest.blobs
    }
    if "model" not in sources or not _is_gguf(sources["model"]):
        report.notes.append(f"{manifest.name}: it has no GGUF file, so it was left out.")
        return None
    folder = to / manifest.file_name
    names = {"model": f"{manifest.file_name}.gguf", "projector": "mmproj.gguf"}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for kind, source in sources.items():
            _give(source, folder / names[kind], copy)
    except OSError as error:
        report.notes.append(f"{manifest.name}: {_why(error, to)}")
        return None
    return folder / names["model"]


def _is_gguf(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            return stream.read(4) == b"GGUF"
    except OSError:
        return False


def _give(source: Path, target: Path, copy: bool) -> None:
    if target.exists() and target.stat().st_size == source.stat().st_size:
        return
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        if not copy:
            raise
        unfinished = target.with_name(f".{target.name}.unfinished")
        try:
            shutil.copyfile(source, unfinished)
            os.replace(unfinished, target)
        finally:
            unfinished.unlink(missing_ok=True)


def _why(error: OSError, to: Path) -> str:
    if error.errno == errno.EXDEV:
        return (
            f"{to} is on another disk, so no link can be made. Choose a folder on the same disk "
            "with --to, or add --copy."
        )
    if error.errno in (errno.EPERM, errno.EACCES):
        return (
            f"the system does not let this user link its files ({error.strerror}). Run this as "
            "the user that owns them, or add --copy."
        )
    return f"it was left out: {error.strerror or error}."


def _give_name(name: str, path: Path, report: Report) -> None:
    model = adding.served_from(str(path))
    if model is None:
        report.notes.append(f"{name}: its file cannot be served; the list of files says why.")
        return
    for wanted in dict.fromkeys((name, name.removesuffix(":latest"))):
        if why := answering.also_as(model, wanted):
            report.notes.append(why)
    report.done.append(f"{name} is served as {model.model_id}")
