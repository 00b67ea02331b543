"""Whether a model of the hub would fit this machine, before any of it is downloaded.

The header of a GGUF file is at its beginning. It is read from the hub in a few ranged requests and
goes through the same memory plan as a file on disk. Of a repository with many quantizations one
header is read: the others have the same layers, their weights are taken to be larger or smaller in
proportion to the files, and the answer says that it is estimated.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from threading import Lock

import requests
import urllib3

from downloads_app import hosts, tokens
from downloads_app.remote import Remote, ask, host_of, look, refusal
from downloads_app.sources import huggingface
from downloads_app.sources.huggingface import RepoFile, Repository
from downloads_app.sources.variants import Variant
from downloads_app.trouble import Kind, Trouble, of_network
from models_app import tuning
from models_app.buffers import projector_scratch
from models_app.facts import FileFacts, facts_of
from models_app.gguf import GgufError, TruncatedData, parse_header
from models_app.plans import PlanContext
from models_app.preferences import Candidate, Choices, Companion
from models_app.shape import LayerBytes, ModelShape, join

FIRST_BYTES = 512 * 1024
MOST_READ = 4 * 1024 * 1024
KEPT = 256

_cache: OrderedDict[tuple[str, int], FileFacts] = OrderedDict()
_cache_lock = Lock()


@dataclass(frozen=True, slots=True)
class Fit:
    """`context` is what one request gets, in tokens; `total` is bytes on all devices."""

    fits: bool
    context: int
    total: int
    estimated: bool
    """Scaled from another quantization's header."""


class RemoteFile:
    """The beginning of a file on a server, read in growing steps as it is needed."""

    def __init__(self, session: requests.Session, remote: Remote, token: str) -> None:
        self._session = session
        self._remote = remote
        self._token = token if remote.secret else ""
        self._data = b""
        self._at = 0

    def seek(self, offset: int, /) -> int:
        self._at = offset
        return offset

    def read(self, size: int, /) -> bytes:
        end = min(self._at + size, self._remote.size or 0)
        if end > len(self._data):
            self._fetch(end)
        data = self._data[self._at : end]
        self._at += len(data)
        return data

    def _fetch(self, end: int) -> None:
        start = len(self._data)
        step = min(max(FIRST_BYTES, start), MOST_READ)
        last = min(max(end, start + step), self._remote.size or end) - 1
        reply = ask(
            self._session, self._remote.url, self._token, {"Range": f"bytes={start}-{last}"}
        )
        with reply:
            if reply.status_code != 206:
                raise refusal(reply, host_of(self._remote.url))
            try:
                self._data += reply.raw.read(last + 1 - start)
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise of_network(requests.ConnectionError(), host_of(self._remote.url)) from error


def facts(repository: Repository, file: RepoFile, token: str = "") -> FileFacts:
    """What the header of a repository's file says. Raises Trouble."""
    key = (file.sha256 or f"{repository.name}@{repository.revision}/{file.path}", file.size)
    with _cache_lock:
        if key in _cache:
            _cache.move_to_end(key)
            return _cache[key]
    found = _read(repository, file, token)
    with _cache_lock:
        _cache[key] = found
        while len(_cache) > KEPT:
            _cache.popitem(last=False)
    return found


def fits(
    repository: Repository,
    variants: Sequence[Variant],
    projector: RepoFile | None,
    exact: str = "",
    token: str = "",
) -> tuple[FileFacts | None, dict[str, Fit]]:
    """For each variant, whether it fits, by its name; with the facts of the one that was read.

    `exact` names the variant whose own headers are read; else it is the first. Raises Trouble.
    """
    whole = [variant for variant in variants if not variant.missing]
    if not whole:
        return None, {}
    read = next((variant for variant in whole if variant.name == exact), whole[0])
    parts = [facts(repository, file, token) for file in read.files]
    first = parts[0]
    shape = join([ModelShape.from_json(part.shape) for part in parts if part.shape])
    companion = _companion(repository, projector, token)
    context = PlanContext.load()
    found = {}
    for variant in whole:
        scaled = shape if variant is read else _scaled(shape, variant.size, read.size)
        plan = tuning.choose(
            Candidate(variant.name, "", scaled, first.kind, first.pooling, companion),
            context.machine,
            context.preferences,
            Choices(),
            context.flags,
        )
        found[variant.name] = Fit(
            plan.fits, plan.context_per_request, plan.total, variant is not read
        )
    return first, found


def _read(repository: Repository, file: RepoFile, token: str) -> FileFacts:
    url = huggingface.file_url(repository.name, file.path, repository.revision)
    secret = tokens.for_address(url, token)
    with closing(hosts.session(hosts.rules())) as session:
        remote = look(session, url, secret)
        if not remote.ranges or remote.size is None:
            raise Trouble(Kind.REFUSED, f"{host_of(url)} gives no parts of the file to look at.")
        try:
            header = parse_header(RemoteFile(session, remote, secret), remote.size)
        except TruncatedData as error:
            raise Trouble(Kind.NOT_A_MODEL, f"{file.path} is not whole: {error}.") from error
        except GgufError as error:
            raise Trouble(Kind.NOT_A_MODEL, f"{file.path} cannot be read: {error}.") from error
    return facts_of(header, file.path.rpartition("/")[2])


def _companion(repository: Repository, projector: RepoFile | None, token: str) -> Companion | None:
    if projector is None:
        return None
    found = facts(repository, projector, token)
    scratch = projector_scratch(ModelShape.from_json(found.shape)) if found.shape else 0
    return Companion(projector.path, projector.size + scratch)


def _scaled(shape: ModelShape, size: int, of: int) -> ModelShape:
    """The same layers with weights of other sizes."""
    share = size / of if of else 1.0

    def scaled(layer: LayerBytes) -> LayerBytes:
        return LayerBytes(
            int(layer.dense * share),
            int(layer.experts * share),
            int(layer.repackable * share),
            int(layer.repackable_experts * share),
        )

    return replace(
        shape,
        layer_bytes=tuple(scaled(layer) for layer in shape.layer_bytes),
        embedding=scaled(shape.embedding),
        output=scaled(shape.output),
        exact=False,
    )
