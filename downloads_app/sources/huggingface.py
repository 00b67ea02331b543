"""The Hugging Face hub: searching it, and what a repository holds.

Every function raises Trouble.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urljoin, urlsplit

import requests
from django.conf import settings

from downloads_app import hosts, tokens
from downloads_app.remote import CONNECT_SECONDS, STALL_SECONDS, host_of, refusal, same_host
from downloads_app.trouble import Kind, Trouble, of_network

MOST_PAGES = 50
"""Pages of a repository's list; the hub gives a thousand files a page."""

MOST_BYTES = 64 * 1024 * 1024
"""What one answer may hold."""

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9_][\w.-]{0,95}", re.ASCII)
_LINK_NEXT = re.compile(r'<([^>]+)>\s*;\s*rel="?next"?')


@dataclass(frozen=True, slots=True)
class RepoFile:
    """A file of a repository. `sha256` is "" for one that is not kept as a large file."""

    path: str
    size: int
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Repository:
    """What a repository is, and the files it holds."""

    name: str
    revision: str
    files: tuple[RepoFile, ...]
    info: Mapping[str, Any]


def is_repository(name: str) -> bool:
    """Whether `name` has the form owner/name."""
    return bool(_REPOSITORY.fullmatch(name)) and ".." not in name


def file_url(repository: str, path: str, revision: str = "main") -> str:
    """Where a file of a repository is fetched from. Raises ValueError for no such place."""
    if not is_repository(repository):
        raise ValueError(f"{repository[:80]!r} is not a repository such as owner/name.")
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"{path[:80]!r} is not a file of a repository.")
    endpoint = settings.CLARACORE_HF_ENDPOINT
    return f"{endpoint}/{repository}/resolve/{quote(revision, safe='')}/{quote(path)}"


def search(words: str, limit: int = 30, token: str = "") -> list[dict[str, Any]]:
    """Repositories with GGUF files, the most downloaded first."""
    query = {
        "search": words,
        "filter": "gguf",
        "sort": "downloads",
        "direction": "-1",
        "limit": str(limit),
        "full": "true",
    }
    found, _ = _ask(f"{settings.CLARACORE_HF_ENDPOINT}/api/models?{urlencode(query)}", token)
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def repository(name: str, revision: str = "main", token: str = "") -> Repository:
    """A repository with all its files."""
    if not is_repository(name):
        raise Trouble(Kind.NOT_FOUND, f"{name[:80]!r} is not a repository such as owner/name.")
    base = f"{settings.CLARACORE_HF_ENDPOINT}/api/models/{name}"
    info, _ = _ask(f"{base}/revision/{quote(revision, safe='')}", token)
    if not isinstance(info, dict):
        raise _odd(base)
    # The commit that was listed is the one that is fetched, whatever is pushed meanwhile.
    commit = str(info.get("sha") or revision)
    files = tuple(_tree(f"{base}/tree/{quote(commit, safe='')}?recursive=true", token))
    return Repository(name, commit, files, info)


def _tree(url: str, token: str) -> Iterator[RepoFile]:
    for _ in range(MOST_PAGES):
        entries, following = _ask(url, token)
        if not isinstance(entries, list):
            raise _odd(url)
        for entry in entries:
            if isinstance(entry, dict) and entry.get("type") == "file":
                yield _file(entry, url)
        if not following:
            return
        url = _same_place(url, following)


def _file(entry: Mapping[str, Any], url: str) -> RepoFile:
    large = entry.get("lfs") or {}
    try:
        digest = str(large.get("oid", "")).lower()
        size = int(large.get("size", entry["size"]))
        known = digest if re.fullmatch(r"[0-9a-f]{64}", digest) else ""
        return RepoFile(str(entry["path"]), size, known)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise _odd(url) from None


def _same_place(url: str, following: str) -> str:
    there = urljoin(url, following)
    # The list's next page is on the hub as well, or the token would go elsewhere.
    if not same_host(url, there) or dict(parse_qsl(urlsplit(there).query)) == {}:
        raise _odd(url)
    return there


def _ask(url: str, token: str) -> tuple[Any, str]:
    """A JSON answer, and the address of the next page or ""."""
    secret = tokens.for_address(url, token)
    headers = {"Accept": "application/json"}
    if secret:
        headers["Authorization"] = f"Bearer {secret}"
    host = host_of(url)
    with closing(hosts.session(hosts.rules())) as session:
        try:
            reply = session.get(
                url,
                headers=headers,
                stream=True,
                allow_redirects=False,
                timeout=(CONNECT_SECONDS, STALL_SECONDS),
            )
            with reply:
                if reply.status_code != 200:
                    raise refusal(reply, host)
                return _json(reply, url), _following(reply)
        except (requests.RequestException, OSError) as error:
            raise of_network(error, host) from error


def _json(reply: requests.Response, url: str) -> Any:
    body = bytearray()
    for chunk in reply.iter_content(64 * 1024):
        body += chunk
        if len(body) > MOST_BYTES:
            raise _odd(url)
    try:
        return json.loads(body)
    except ValueError:
        raise _odd(url) from None


def _following(reply: requests.Response) -> str:
    found = _LINK_NEXT.search(reply.headers.get("Link", ""))
    return found.group(1) if found else ""


def _odd(url: str) -> Trouble:
    text = f"{host_of(url)} answers something that is not the hub's. Check HF_ENDPOINT."
    return Trouble(Kind.REFUSED, text)
