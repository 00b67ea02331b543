"""Who sent a request, row by row of the table in `proxy_app.strangers`."""

from __future__ import annotations

import pytest

from proxy_app.strangers import WEBSOCKET, Verdict, is_vouched_for, judge

HARMLESS, FRIEND, FOREIGN, FORM = Verdict
HOST = "llm.lan:5800"
OURS = f"http://{HOST}"
EVIL = "http://evil.example"
LISTED = "https://chat.example"
JSON = "application/json"
FORMS = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x")


def headers_of(told: dict[str, str]) -> dict[bytes, bytes]:
    told = {"host": HOST, **told}
    return {name.replace("_", "-").encode(): value.encode() for name, value in told.items()}


def verdict(
    method: str, path: str = "/api/models/unload", secure: bool = False, **told: str
) -> Verdict:
    return judge(method, path, headers_of(told), lambda: {LISTED.encode()}, secure)


def vouched(told: dict[str, str]) -> bool:
    return is_vouched_for(headers_of(told), lambda: {LISTED.encode()})


CHANGES = ("POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND")


@pytest.mark.parametrize("method", [*CHANGES, WEBSOCKET])
@pytest.mark.parametrize(
    "origin",
    [
        EVIL,
        "null",
        "",
        "http://localhost:5800",  # this machine under another name is another site
        "http://llm.lan:3000",  # another program of this machine
        "http://llm.lan",
        f"http://{HOST}.evil.example",
        f"http://evil.example/{HOST}",
        f"ftp://{HOST}",
        HOST,
        "file://",
        "chrome-extension://abcdef",
    ],
)
def test_nothing_is_changed_for_a_page_of_another_origin(method: str, origin: str) -> None:
    assert verdict(method, origin=origin) is FOREIGN
    assert verdict(method, origin=origin, content_type=JSON) is FOREIGN
    # Not even with a key: a page that has one has to be listed.
    assert verdict(method, origin=origin, authorization="Bearer sk-1") is FOREIGN


@pytest.mark.parametrize("method", [*CHANGES, WEBSOCKET, "GET", "HEAD"])
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_a_browser_says_comes_from_another_site_is_foreign(method: str, site: str) -> None:
    assert verdict(method, sec_fetch_site=site) is FOREIGN
    assert verdict(method, sec_fetch_site=site, origin=OURS) is FOREIGN
    assert verdict(method, sec_fetch_site=site, x_api_key="sk-1") is FOREIGN


@pytest.mark.parametrize("path", ["/", "/ui/", "/ui/models/", "/admin/", "/ui"])
def test_a_link_may_lead_to_our_pages(path: str) -> None:
    assert verdict("GET", path, sec_fetch_site="cross-site", sec_fetch_mode="navigate") is HARMLESS


@pytest.mark.parametrize(
    ("method", "path", "mode"),
    [
        ("GET", "/unload", "navigate"),
        ("GET", "/upstream/fox/", "navigate"),
        ("GET", "/uix", "navigate"),
        ("GET", "//ui/", "navigate"),
        ("GET", "/ui/", "no-cors"),
        ("GET", "/ui/", "websocket"),
        ("POST", "/ui/models/", "navigate"),
        (WEBSOCKET, "/ui/", "navigate"),
    ],
)
def test_a_link_leads_nowhere_else(method: str, path: str, mode: str) -> None:
    assert verdict(method, path, sec_fetch_site="cross-site", sec_fetch_mode=mode) is FOREIGN


@pytest.mark.parametrize("content_type", FORMS)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_a_form_of_nobody_knows_whom_is_not_taken(method: str, content_type: str) -> None:
    assert verdict(method, content_type=content_type) is FORM
    assert verdict(method, content_type=content_type.upper()) is FORM
    assert verdict(method, content_type=f"{content_type} ; charset=utf-8") is FORM
    # A browser adds the credentials of http://me:word@llm.lan:5800/ by itself.
    assert verdict(method, content_type=content_type, authorization="Basic bWU6d29yZA==") is FORM


@pytest.mark.parametrize("content_type", FORMS)
def test_a_form_is_taken_from_our_own_page_and_with_a_key(content_type: str) -> None:
    assert verdict("POST", content_type=content_type, origin=OURS) is HARMLESS
    assert verdict("POST", content_type=content_type, sec_fetch_site="same-origin") is HARMLESS
    assert verdict("POST", content_type=content_type, authorization="Bearer sk-1") is HARMLESS
    assert verdict("POST", content_type=content_type, x_api_key="sk-1") is HARMLESS
    # There Django looks for its token.
    assert verdict("POST", "/admin/login/", content_type=content_type) is HARMLESS
    assert verdict("POST", "/ui/models/", content_type=content_type) is HARMLESS


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", WEBSOCKET])
def test_scripts_may_do_what_the_document_says(method: str) -> None:
    assert verdict(method) is HARMLESS
    assert verdict(method, content_type=JSON) is HARMLESS
    assert verdict(method, content_type=f"{JSON}; charset=utf-8") is HARMLESS


def test_our_own_pages_may_do_everything() -> None:
    for method in (*CHANGES, WEBSOCKET):
        assert verdict(method, origin=OURS, sec_fetch_site="same-origin") is HARMLESS
        assert verdict(method, origin=OURS.upper()) is HARMLESS


def test_a_listed_site_is_a_friend_of_the_api_alone() -> None:
    for method in (*CHANGES, "GET", "OPTIONS", WEBSOCKET):
        assert verdict(method, origin=LISTED, sec_fetch_site="cross-site") is FRIEND
        assert verdict(method, "/v1/models", origin="HTTPS://CHAT.EXAMPLE") is FRIEND
    assert verdict("POST", "/ui/models/", origin=LISTED, sec_fetch_site="cross-site") is FOREIGN
    assert verdict("POST", "/admin/", origin=LISTED) is FOREIGN


def test_over_https_a_page_that_came_without_is_another_origin() -> None:
    assert verdict("POST", secure=True, origin=OURS) is FOREIGN
    assert verdict("POST", secure=True, origin=f"https://{HOST}") is HARMLESS
    # A proxy that is not named may have taken the encryption off.
    assert verdict("POST", origin=f"https://{HOST}") is HARMLESS


@pytest.mark.parametrize(
    "told",
    [
        {"authorization": "Bearer x"},
        {"authorization": "sk-raw"},
        {"x_api_key": "sk-1"},
        {"sec_fetch_site": "same-origin"},
        {"origin": OURS},
        {"origin": LISTED},
        {"referer": f"{OURS}/ui/"},
    ],
)
def test_a_read_is_vouched_for_by_a_key_or_by_our_own_page(told: dict[str, str]) -> None:
    assert vouched(told)


@pytest.mark.parametrize(
    "told",
    [
        {},  # an image on any page, over plain HTTP
        {"authorization": "Basic bWU6d29yZA=="},
        {"authorization": " "},
        {"x_api_key": ""},
        {"sec_fetch_site": "none"},  # a link in a mail, typed or clicked
        {"sec_fetch_site": "none", "referer": f"{OURS}/ui/"},
        {"sec_fetch_site": "same-site"},
        {"origin": EVIL},
        {"origin": "null", "referer": f"{OURS}/"},
        {"referer": f"{EVIL}/"},
        {"referer": f"{EVIL}/{OURS}/"},
        {"referer": f"{OURS}.evil.example/"},
        {"referer": f"http://{HOST}@evil.example/"},
        {"referer": "//llm.lan:5800/"},
    ],
)
def test_nothing_else_vouches_for_a_read(told: dict[str, str]) -> None:
    assert not vouched(told)
