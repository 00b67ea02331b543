"""Turns "this repository in that quantization" into files to fetch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from downloads_app.orders import Item, Order
from downloads_app.sources import huggingface, variants
from downloads_app.sources.huggingface import RepoFile, Repository


class NothingFits(ValueError):
    """The repository has no such quantization; the text names those it has."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Files of a repository. `subfolder` is theirs alone when several belong together."""

    items: tuple[Item, ...]
    quantization: str
    subfolder: str
    projectors: tuple[RepoFile, ...]
    """Those the repository offers, best first."""

    def order(self, repository: str, **values: Any) -> Order:
        """An order of all of it; `values` are further ones of the order."""
        return Order(
            items=self.items,
            subfolder=self.subfolder,
            repository=repository,
            quantization=self.quantization,
            **values,
        )


def order_for(
    name: str, quantization: str = "", *, token: str = "", projector: bool = True
) -> Wanted:
    """What to fetch of a repository; with its best projector unless `projector` is False.

    Raises NothingFits, Trouble.
    """
    repository = huggingface.repository(name, token=token)
    found = variants.sort(repository.files)
    variant = variants.pick(found.variants, quantization)
    if variant is None:
        raise NothingFits(_choice(repository, found, quantization))
    files = list(variant.files)
    if projector and found.projectors:
        files.append(found.projectors[0])
    # Projectors of all repositories have the same few names.
    subfolder = name.rpartition("/")[2] if len(files) > 1 else ""
    return Wanted(
        tuple(item(repository, file) for file in files), variant.name, subfolder, found.projectors
    )


def item(repository: Repository, file: RepoFile) -> Item:
    """A file of a repository as something to fetch."""
    url = huggingface.file_url(repository.name, file.path, repository.revision)
    return Item(url, file.path.rpartition("/")[2], file.size, file.sha256)


def _choice(repository: Repository, found: variants.Sorted, wanted: str) -> str:
    names = [variant.name for variant in found.variants if not variant.missing]
    if not names:
        return f"{repository.name} holds no whole GGUF model."
    return f"{repository.name} has no {wanted}; it has {', '.join(names)}."
