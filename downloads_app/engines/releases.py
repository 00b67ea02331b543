"""The list of releases: asked for seldom, kept with its ETag, and never in the way of what works.

The newest list that ever came is kept in a file of the home, so a server without network still
knows it. A server that says "too often" is not asked again before the time it names.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urljoin, urlsplit

import requests
from django.conf import settings

from downloads_app.engines.assets import Asset
from downloads_app.hosts import Rules, session
from downloads_app.remote import REDIRECTS, host_of, retry_after
from downloads_app.trouble import Kind, Trouble, of_network, of_status

GITHUB_HOSTS: Final = ("github.com", "api.github.com", "*.githubusercontent.com")

TIMEOUTS: Final = (5.0, 10.0)
"""Seconds to connect, and to wait for the next bytes."""
WHOLE_SECONDS: Final = 30.0
LARGEST: Final = 32 * 1024**2
"""Bytes. Thirty releases of thirty files each are some 2 MB."""

FRESH_SECONDS: Final = 600.0
"""A list this young is taken as it is."""
AFTER_FAILURE_SECONDS: Final = 60.0
"""So long after a failure nobody is made to wait for the next one."""
RATE_LIMITED: Final = (403, 429)
LONGEST_WAIT: Final = 6 * 3600.0

PER_PAGE: Final = 30


@dataclass(frozen=True, slots=True)
class Release:
    tag: str
    assets: tuple[Asset, ...]
    published: str = ""
    """When, as ISO 8601; "" when the list does not say."""
    preliminary: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """What is known of the releases, the newest first."""

    releases: tuple[Release, ...] = ()
    problem: str = ""
    """Why they could not be asked for just now; the releases are then those known before."""


@dataclass(slots=True)
class _Kept:
    """The cache file's content."""

    url: str = ""
    etag: str = ""
    body: Any = None
    asked_at: float = 0.0
    """When it was last confirmed. Seconds since the epoch, as all times here."""
    not_before: float = 0.0
    problem: str = ""


def listing(*, fresh: bool = False, now: float | None = None) -> Listing:
    """The releases, asked for anew when the kept list is old, or with `fresh` in any case.

    It raises nothing: what went wrong is its `problem`. Rate limits are kept to also with `fresh`.
    """
    now = time.time() if now is None else now
    kept = _read()
    young = kept.body is not None and not kept.problem and now - kept.asked_at < FRESH_SECONDS
    may_ask = now >= kept.not_before or (fresh and not _is_rate_limit(kept))
    if may_ask and (fresh or not young):
        _ask(kept, now)
    return Listing(parse(kept.body, kept.url), kept.problem)


def known() -> Listing:
    """The releases as they were known last; nobody is asked."""
    kept = _read()
    return Listing(parse(kept.body, kept.url), kept.problem)


def find(tag: str) -> Release:
    """The release of that name, also one that is too old for the list. Raises Trouble."""
    known = listing()
    for release in known.releases:
        if release.tag == tag:
            return release
    kept = _read()
    if time.time() < kept.not_before and _is_rate_limit(kept):
        raise Trouble(Kind.BUSY, kept.problem)
    url = f"{settings.CLARACORE_RELEASES_URL}/tags/{quote(tag, safe='')}"
    try:
        with closing(session(rules())) as asking, _get(asking, url, {}) as reply:
            if reply.status_code != 200:
                raise _refusal(reply, time.time())[0]
            found = parse([_json(reply)], url)
    except Trouble as trouble:
        if trouble.kind is Kind.NOT_FOUND:
            text = f"{host_of(url)} has no release {tag}. Check its name, such as b9000."
            raise Trouble(Kind.NOT_FOUND, text) from trouble
        raise
    if not found:
        raise Trouble(Kind.SERVER, f"{host_of(url)} told nothing usable of release {tag}.")
    return found[0]


def rules() -> Rules:
    """Who may be asked for releases. Whom an operator named as mirror may be in the local net."""
    mirror = (urlsplit(settings.CLARACORE_RELEASES_URL).hostname or "").lower()
    is_github = mirror == "api.github.com"
    private = tuple(host.strip("[]") for host in settings.CLARACORE_PRIVATE_HOSTS)
    allowed = tuple(host.strip("[]") for host in settings.CLARACORE_DOWNLOAD_HOSTS)
    return Rules(
        (*GITHUB_HOSTS, mirror, *allowed, *private),
        private if is_github else (*private, mirror),
    )


def parse(body: Any, url: str) -> tuple[Release, ...]:
    """GitHub's JSON as releases; what is not as it should be is left out."""
    if not isinstance(body, list):
        return ()
    return tuple(
        Release(
            tag=entry["tag_name"],
            assets=tuple(_assets(entry.get("assets"), url)),
            published=str(entry.get("published_at") or ""),
            preliminary=bool(entry.get("prerelease")),
        )
        for entry in body
        if isinstance(entry, dict)
        and isinstance(entry.get("tag_name"), str)
        and entry["tag_name"]
        and not entry.get("draft")
    )


def _assets(entries: Any, url: str) -> Iterable[Asset]:
    for entry in entries if isinstance(entries, list) else ():
        if not isinstance(entry, dict):
            continue
        name, address = entry.get("name"), entry.get("browser_download_url")
        if not isinstance(name, str) or not isinstance(address, str) or "/" in name:
            continue
        if entry.get("state", "uploaded") != "uploaded":
            continue  # It is still on its way to the release.
        size = entry.get("size")
        yield Asset(
            name=name,
            url=urljoin(f"{url}/", address),
            size=size if isinstance(size, int) and size > 0 else 0,
            sha256=_digest(entry.get("digest")),
        )


def _digest(value: Any) -> str:
    kind, _, digest = str(value or "").lower().partition(":")
    is_hex = len(digest) == 64 and all(letter in "0123456789abcdef" for letter in digest)
    return digest if kind == "sha256" and is_hex else ""


# ---- Asking -------------------------------------------------------------------------------


def _ask(kept: _Kept, now: float) -> None:
    """Ask for the list, and keep what comes of it."""
    url = settings.CLARACORE_RELEASES_URL
    headers = {"If-None-Match": kept.etag} if kept.etag and kept.body is not None else {}
    try:
        address = f"{url}?per_page={PER_PAGE}"
        with closing(session(rules())) as asking, _get(asking, address, headers) as reply:
            _take(kept, reply, now)
    except Trouble as trouble:
        kept.problem = trouble.message
        kept.not_before = now + (
            AFTER_FAILURE_SECONDS if trouble.wait is None else min(trouble.wait, LONGEST_WAIT)
        )
    _write(kept)


def _take(kept: _Kept, reply: requests.Response, now: float) -> None:
    if reply.status_code == 200:
        kept.body = _json(reply)
        kept.etag = reply.headers.get("ETag", "")
    elif reply.status_code != 304:
        trouble, until = _refusal(reply, now)
        if until is not None:
            trouble = Trouble(trouble.kind, trouble.message, wait=until - now)
        raise trouble
    kept.asked_at, kept.not_before, kept.problem = now, 0.0, ""


def _get(
    asking: requests.Session, url: str, headers: Mapping[str, str], hops: int = 5
) -> requests.Response:
    """Raises Trouble."""
    sent = {"Accept": "application/vnd.github+json", "User-Agent": "ClaraCore", **headers}
    try:
        reply = asking.get(url, headers=sent, stream=True, allow_redirects=False, timeout=TIMEOUTS)
    except requests.RequestException as error:
        raise of_network(error, host_of(url)) from error
    target = reply.headers.get("Location", "")
    if reply.status_code in REDIRECTS and target and hops:
        reply.close()
        return _get(asking, urljoin(url, target), headers, hops - 1)
    return reply


def _json(reply: requests.Response) -> Any:
    """The body, read within bounds of size and time. Raises Trouble."""
    host = host_of(reply.url)
    deadline = time.monotonic() + WHOLE_SECONDS
    data = bytearray()
    try:
        for block in reply.iter_content(64 * 1024):
            data += block
            if len(data) > LARGEST or time.monotonic() > deadline:
                raise Trouble(Kind.SERVER, f"{host} sends a list of releases without end.")
        return json.loads(data)
    except requests.RequestException as error:
        raise of_network(error, host) from error
    except ValueError as error:
        text = f"{host} sent no list of releases. Check CLARACORE_RELEASES_URL."
        raise Trouble(Kind.SERVER, text) from error


def _refusal(reply: requests.Response, now: float) -> tuple[Trouble, float | None]:
    """The trouble of a refused request, and until when it lasts if the server says so."""
    host = host_of(reply.url)
    until = _limited_until(reply, now)
    if until is None:
        return of_status(reply.status_code, host, retry_after(reply.headers)), None
    clock = time.strftime("%H:%M UTC", time.gmtime(until))
    text = f"{host} was asked too often from this address; it answers again at {clock}."
    return Trouble(Kind.BUSY, text, wait=until - now), until


def _limited_until(reply: requests.Response, now: float) -> float | None:
    """Until when a rate limit lasts; None when the refusal is none."""
    if reply.status_code not in RATE_LIMITED:
        return None
    wait = retry_after(reply.headers)
    if wait is not None:
        return now + wait
    reset = reply.headers.get("X-RateLimit-Reset", "")
    if reply.headers.get("X-RateLimit-Remaining") == "0" and reset.isdecimal():
        return min(max(float(reset), now + 1), now + LONGEST_WAIT)
    return now + AFTER_FAILURE_SECONDS if reply.status_code == 429 else None


def _is_rate_limit(kept: _Kept) -> bool:
    return "too often" in kept.problem


# ---- The file -----------------------------------------------------------------------------


def _file() -> Path:
    return Path(settings.CLARACORE_HOME) / "engines" / "releases.json"


def _read() -> _Kept:
    """What was kept, of the address that is set now."""
    url = settings.CLARACORE_RELEASES_URL
    try:
        values = json.loads(_file().read_bytes())
        kept = _Kept(**values)
    except (OSError, ValueError, TypeError):
        return _Kept(url=url)
    return kept if kept.url == url else _Kept(url=url)


def _write(kept: _Kept) -> None:
    """A list that cannot be kept is asked for again the next time, nothing worse."""
    path = _file()
    values = {name: getattr(kept, name) for name in _Kept.__slots__}
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, scratch = tempfile.mkstemp(dir=path.parent, prefix=".releases-")
        with os.fdopen(descriptor, "w") as out:
            json.dump(values, out)
        os.replace(scratch, path)
    except OSError:
        return
