from __future__ import annotations

import json
from typing import Any

import pytest

from proxy_app.errors import InvalidRequest
from proxy_app.remote_media import check, check_headers

INSIDE = "http://127.0.0.1:9/admin"


def chat(*parts: Any) -> dict[str, Any]:
    return {"model": "eye", "messages": [{"role": "user", "content": list(parts)}]}


@pytest.mark.parametrize(
    "fields",
    [
        chat({"type": "image_url", "image_url": {"url": INSIDE}}),
        chat({"type": "image_url", "image_url": INSIDE}),
        chat({"type": "image_url", "image_url": {"url": "HTTPS://metadata.example/"}}),
        chat({"type": "image", "source": {"type": "url", "url": INSIDE}}),
        chat({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}),
        chat({"type": "image_url", "image_url": {"url": f" {INSIDE}"}}),
        chat({"type": "input_audio", "input_audio": {"data": INSIDE, "format": "mp3"}}),
        chat({"type": "video_url", "video_url": {"url": INSIDE}}),
        chat({"type": "input_file", "file_url": INSIDE}),
        chat({"type": "image", "url": INSIDE}),
        chat({"type": "tool_use", "image_url": {"url": INSIDE}}),
        chat({"type": "tool_result", "content": [{"type": "image", "source": {"url": INSIDE}}]}),
        {**chat({"type": "image_url", "image_url": INSIDE}), "type": "tool_use"},
        {"messages": [{"type": "tool_use", "content": [{"image_url": {"url": INSIDE}}]}]},
        {"type": "tool_use", "input": [{"content": [{"image_url": INSIDE}]}]},
        {"model": "eye", "input": [{"content": [{"type": "input_image", "image_url": INSIDE}]}]},
    ],
)
def test_nothing_is_fetched_for_whoever_may_only_use_models(fields: dict[str, Any]) -> None:
    plain = json.dumps(fields)
    escaped = plain.replace("url", "\\u0075rl").replace("source", "\\u0073ource")
    for body in (plain, escaped, "\ufeff" + plain, plain + "\0 what the engine does not read"):
        with pytest.raises(InvalidRequest, match="data: URL"):
            check(body.encode())


def test_deep_nesting_hides_nothing() -> None:
    body = b'{"image_url": "http://x", "deep": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    with pytest.raises(InvalidRequest):
        check(body)


@pytest.mark.parametrize(
    "fields",
    [
        chat({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}),
        chat({"type": "text", "text": f"What is at {INSIDE}, an image_url?"}),
        chat({"type": "tool_use", "input": {"image_url": INSIDE, "source": {"url": INSIDE}}}),
        chat({"type": "search_result", "source": INSIDE, "title": "An address of words"}),
        {**chat(), "tools": [{"image_url": {"type": "string"}}], "metadata": {"url": INSIDE}},
    ],
)
def test_pictures_in_the_request_and_addresses_in_texts_pass(fields: dict[str, Any]) -> None:
    check(json.dumps(fields).encode())


@pytest.mark.parametrize("body", [b"", b"image_url", b"\xff image_url", b"\0\0\0\x18ftypmp42_url"])
def test_what_is_no_json_is_left_to_the_engine(body: bytes) -> None:
    check(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"image_url": ',
        b'{"image_url": "x", "more": NaN}',
        b'{"image_url": "x", "more": %s}' % (b"1" * 6000),
        b'{"image_url": "x", "more": "\xff"}',
        json.dumps(chat({"image_url": INSIDE})).encode("utf-16"),
        json.dumps(chat({"image_url": INSIDE})).encode("utf-32-be"),
    ],
)
def test_what_only_an_engine_could_read_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        check(body)


def test_a_compressed_body_is_refused() -> None:
    check_headers([(b"content-type", b"application/json")])
    with pytest.raises(InvalidRequest, match="compressed"):
        check_headers([(b"content-encoding", b"gzip")])
