"""Which folders are tracked: adding one, and letting one go."""

from __future__ import annotations

import os

from django.db import transaction

from models_app import introduce, nodes, roots
from models_app.models import ModelFolder, ServedModel


class FolderError(ValueError):
    """A folder that cannot be tracked. The text is one sentence that says why."""


class AlreadyCovered(FolderError):
    """The folder lies in one that is tracked with all below it: its files are served already."""

    def __init__(self, path: str, covering: ModelFolder) -> None:
        super().__init__(
            f"{path} lies in {covering.path}, which is tracked with the folders below it."
        )
        self.covering = covering


def add(path: str | os.PathLike[str], recursive: bool | None = None) -> ModelFolder:
    """Track the folder at `path`, an absolute path or one that begins with `~`.

    A new folder is tracked with all below it unless `recursive` is False. One that is tracked
    already is enabled, and keeps its `recursive` when that is None. Raises `FolderError`. The
    caller asks for the scan.
    """
    path = checked(path)
    with transaction.atomic():
        folder = tracked_as(path)
        if folder is None:
            return ModelFolder.objects.create(path=path, recursive=recursive is not False)
        wanted = folder.recursive if recursive is None else recursive
        if not folder.enabled or folder.recursive != wanted:
            folder.enabled, folder.recursive = True, wanted
            folder.save(update_fields=["enabled", "recursive"])
        return folder


def checked(path: str | os.PathLike[str]) -> str:
    """`path` in its normal form, when it can be tracked or is tracked itself.

    Raises `FolderError`, and `AlreadyCovered` for a folder below one that is tracked.
    """
    text = os.path.expanduser(os.fspath(path))
    if not os.path.isabs(text):
        raise FolderError(
            f"“{text}” is not an absolute path. Say where the folder lies, such as /srv/models."
        )
    text = os.path.normpath(text)
    try:
        # Before anything is looked at: whether a file exists is nobody's business either.
        roots.check(text)
    except roots.OutsideRoots as error:
        raise FolderError(str(error)) from error
    _check_readable(text)
    if tracked_as(text) is None and (covering := _covering(text)):
        raise AlreadyCovered(text, covering)
    return text


def tracked_as(path: str) -> ModelFolder | None:
    """The tracked folder that `path` is, also under another of its names."""
    real = os.path.realpath(path)
    folders = list(ModelFolder.objects.all())
    same = [folder for folder in folders if folder.path == path]
    same += [folder for folder in folders if os.path.realpath(folder.path) == real]
    return same[0] if same else None


def of_other_nodes() -> str:
    """Where all folders are other nodes' and none is this one's: whose, and what to do.

    Empty otherwise. To whoever renamed a node, or restored elsewhere, everything looks gone.
    """
    if ModelFolder.objects.exists():
        return ""
    others = ModelFolder.everywhere.order_by("node").values_list("node", flat=True).distinct()
    if not others:
        return ""
    return (
        f"This node, “{nodes.this_node()}”, has no folders or models yet; those in the database "
        f"belong to {', '.join(others)}. If they lie on this machine, start with "
        f"CLARACORE_NODE={others[0]}."
    )


def tracked_below(path: str) -> list[ModelFolder]:
    """The tracked folders that lie in `path`, which a scan of it with all below would meet too."""
    real = os.path.join(os.path.realpath(path), "")
    return [
        folder
        for folder in ModelFolder.objects.all()
        if os.path.realpath(folder.path).startswith(real)
    ]


def remove(folder: ModelFolder) -> None:
    """Let `folder` go. The files on disk stay.

    Its models go with it, save those that a person gave a setting, an alias, a name or a
    group: they are kept without a file and come back with the folder.
    """
    with transaction.atomic():
        models = ServedModel.objects.filter(file__folder=folder)
        models = models.select_related("file").prefetch_related("aliases")
        untouched = [model.pk for model in models if introduce.is_untouched(model)]
        ServedModel.objects.filter(pk__in=untouched).delete()
        folder.delete()


def _check_readable(path: str) -> None:
    try:
        path.encode()
        with os.scandir(path):
            pass
    except FileNotFoundError:
        raise FolderError(f"{path} does not exist.") from None
    except NotADirectoryError:
        raise FolderError(f"{path} is not a folder.") from None
    except OSError as error:
        raise FolderError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:  # a NUL, or bytes that are no UTF-8
        raise FolderError(f"The path holds characters that cannot be used: {error}.") from error


def _covering(path: str) -> ModelFolder | None:
    """The enabled folder whose scan meets `path` on its way down, if there is one."""
    real = os.path.realpath(path)
    for folder in ModelFolder.objects.filter(enabled=True, recursive=True):
        below = os.path.relpath(real, os.path.realpath(folder.path)).split(os.sep)
        # A scan skips hidden folders, so what lies in one can be tracked on its own.
        if not any(part.startswith(".") for part in below):
            return folder
    return None
