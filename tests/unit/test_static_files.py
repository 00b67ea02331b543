"""Files under /static/ come from memory, compressed for whoever takes that, past Django."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

from claracore_site.static_files import StaticFiles, answer, read, takes_gzip

TEXT = "export const answer = 42;\n" * 100


async def _beyond(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b"Django's"})


async def ask(
    app: Any, path: str, method: str = "GET", **headers: str
) -> tuple[int, dict[bytes, bytes], bytes]:
    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message)

    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "path": path, "method": method, "headers": sent}
    await app(scope, None, send)
    return said[0]["status"], dict(said[0]["headers"]), said[1]["body"]


@pytest.fixture
def folder(tmp_path: Path) -> Any:
    (tmp_path / "a.js").write_text(TEXT)
    (tmp_path / "short.css").write_text("p{}")
    with override_settings(STATICFILES_DIRS=[tmp_path]):
        from django.contrib.staticfiles import finders

        finders.get_finder.cache_clear()  # type: ignore[attr-defined]
        yield tmp_path
    finders.get_finder.cache_clear()  # type: ignore[attr-defined]


async def test_it_sends_a_file_compressed_to_whoever_takes_that(folder: Path) -> None:
    app = StaticFiles(_beyond)
    status, headers, body = await ask(app, "/static/a.js", accept_encoding="br, gzip;q=0.8")
    assert (status, headers[b"content-type"]) == (200, b"text/javascript; charset=utf-8")
    assert gzip.decompress(body).decode() == TEXT
    assert len(body) == int(headers[b"content-length"]) < len(TEXT)
    status, headers, body = await ask(app, "/static/a.js")
    assert (status, body.decode()) == (200, TEXT)
    assert b"content-encoding" not in headers
    assert headers[b"x-content-type-options"] == b"nosniff"


async def test_it_says_that_a_file_is_still_the_same(folder: Path) -> None:
    app = StaticFiles(_beyond)
    _, headers, _ = await ask(app, "/static/a.js")
    tag = headers[b"etag"].decode()
    status, _, body = await ask(app, "/static/a.js", if_none_match=f'"other", W/{tag}')
    assert (status, body) == (304, b"")
    packed = await ask(app, "/static/a.js", if_none_match=tag, accept_encoding="gzip")
    assert packed[0] == 200, "the compressed one is another"


async def test_it_reads_a_file_anew_that_changed_and_forgets_one_that_is_gone(folder: Path) -> None:
    app = StaticFiles(_beyond)
    await ask(app, "/static/a.js")
    (folder / "a.js").write_text("changed")
    os.utime(folder / "a.js", ns=(1, 1))
    assert (await ask(app, "/static/a.js"))[2] == b"changed"
    (folder / "a.js").unlink()
    assert (await ask(app, "/static/a.js"))[2] == b"Django's"


async def test_a_head_has_no_body_and_the_same_length(folder: Path) -> None:
    status, headers, body = await ask(StaticFiles(_beyond), "/static/a.js", "HEAD")
    assert (status, body, int(headers[b"content-length"])) == (200, b"", len(TEXT))


@pytest.mark.parametrize(
    "path",
    [
        "/static/nothing.js",
        "/static/",
        "/static/../manage.py",
        "/static//etc/passwd",
        "/ui/",
        "/statica.js",
    ],
)
async def test_what_is_none_of_its_files_is_djangos(folder: Path, path: str) -> None:
    assert (await ask(StaticFiles(_beyond), path))[2] == b"Django's"


async def test_it_changes_nothing(folder: Path) -> None:
    assert (await ask(StaticFiles(_beyond), "/static/a.js", "POST"))[0] == 404


def test_what_is_short_is_not_compressed(folder: Path) -> None:
    file = read("short.css")
    assert file is not None
    assert file.packed is None
    assert answer(file, {b"accept-encoding": b"gzip"})[2] == b"p{}"


@pytest.mark.parametrize(
    ("accepted", "takes"),
    [
        (b"gzip", True),
        (b"br;q=1.0, gzip; q=0.5", True),
        (b"*", True),
        (b"gzip;q=0", False),
        (b"*;q=0", False),
        (b"identity", False),
        (b"gzip;q=much", False),
        (b"", False),
    ],
)
def test_it_reads_what_a_client_takes(accepted: bytes, takes: bool) -> None:
    assert takes_gzip(accepted) is takes
