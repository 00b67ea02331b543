"""What people of each role see of the pages, in a real browser: written out, page by page.

Besides, nothing that is shown to somebody leads to a refusal: each link and each form of a page is
looked up in `tests/access_matrix.txt`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
import requests
from playwright.sync_api import expect

from tests.acceptance.conftest import FOX
from tests.browser import PHONE, Browsers, Watched, ended_when_stuck, watched
from tests.ggufs import write_reciter
from tests.server import ROOT, RunningServer, running_server

pytestmark = [pytest.mark.browser, pytest.mark.engine]

PASSWORD: Final = "correct horse 9"
USER: Final = "user"
CURATOR: Final = "curator"
ADMINISTRATOR: Final = "administrator"
ROLES: Final = (USER, CURATOR, ADMINISTRATOR)
"""The administrator comes last: from then on everybody has to sign in."""

ALL: Final = frozenset(ROLES)
LOOK_AFTER: Final = frozenset({CURATOR, ADMINISTRATOR})
ADMINISTER: Final = frozenset({ADMINISTRATOR})

NAVIGATION: Final = {
    "Dashboard": ALL,
    "Models": ALL,
    "Playground": ALL,
    "Downloads": LOOK_AFTER,
    "Activity": ALL,
    "Queue": ALL,
    "Logs": LOOK_AFTER,
    "Configuration": LOOK_AFTER,
    "Engines": LOOK_AFTER,
    "Keys and people": ALL,
    "Setup": LOOK_AFTER,
    "Admin": ADMINISTER,
}


@dataclass(frozen=True)
class Page:
    """A page, who may see it, and who of them sees what on it."""

    path: str
    who: frozenset[str]
    parts: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By what finds them."""


PAGES: Final = (
    Page("dashboard/", ALL, {
        "#work": ALL,
        '#engines button:has-text("Unload")': LOOK_AFTER,
    }),
    Page("models/", ALL, {
        'a:has-text("Try")': ALL,
        '[data-slot="act"]': LOOK_AFTER,
        "button.pin": LOOK_AFTER,
        'button:has-text("Unload all")': LOOK_AFTER,
        '.page-acts a:has-text("Folders")': LOOK_AFTER,
    }),
    Page("models/{model}/", ALL, {
        'a:has-text("Try it")': ALL,
        "#snippet-curl": ALL,
        '[data-slot="act"]': LOOK_AFTER,
        "#tune-form": LOOK_AFTER,
        'a:has-text("All settings")': ADMINISTER,
    }),
    Page("playground/", ALL, {"#question": ALL}),
    Page("downloads/", LOOK_AFTER, {
        'button:has-text("Search the hub")': LOOK_AFTER,
        "#fetch-starter": LOOK_AFTER,
    }),
    Page("activity/", ALL, {
        'a:has-text("CSV")': ALL,
        "#id_key": ALL,
        "#id_person": LOOK_AFTER,
    }),
    Page("queue/", ALL, {"#queue": ALL}),
    Page("logs/", LOOK_AFTER, {"#log": LOOK_AFTER}),
    Page("configuration/", LOOK_AFTER, {
        "#id_queue_length:disabled": frozenset({CURATOR}),
        "#id_queue_length:enabled": ADMINISTER,
        'a:has-text("The same in the admin")': ADMINISTER,
    }),
    Page("configuration/text/", LOOK_AFTER, {"#id_text": ADMINISTER}),
    Page("configuration/history/", LOOK_AFTER, {"#history": LOOK_AFTER}),
    Page("configuration/history/1/", LOOK_AFTER, {"#look": ADMINISTER}),
    Page("engines/", LOOK_AFTER, {
        "#region-in-use": LOOK_AFTER,
        "#install": ADMINISTER,
        'button:has-text("Look for an update")': ADMINISTER,
    }),
    Page("keys/", ALL, {
        "#make-key": ALL,
        "#id_person": ADMINISTER,
        'a:has-text("Audit log")': ADMINISTER,
        '.tabs a:has-text("People")': ADMINISTER,
    }),
    Page("keys/usage/", ALL, {'a:has-text("CSV")': ALL, "#usage-people": LOOK_AFTER}),
    Page("keys/people/", ADMINISTER, {"#make-person": ADMINISTER}),
    Page("keys/people/{person}/", ADMINISTER, {"#keep-out": ADMINISTER}),
    Page("setup/", LOOK_AFTER, {
        "#scan-now": LOOK_AFTER,
        'button:has-text("Add folder")': LOOK_AFTER,
        'button:has-text("Tune my models")': LOOK_AFTER,
    }),
    Page("setup/browse/", LOOK_AFTER, {"#here": LOOK_AFTER}),
    Page("password/", ALL),
)  # fmt: skip

OTHERS: Final = (
    "models/?view=table",
    "activity/{request}/",
    "keys/{key}/",
    "playground/embeddings/",
    "configuration/",
    "configuration/text/",
    "configuration/history/1/",
    "keys/",
    "keys/people/",
    "keys/people/{person}/",
    "password/",
)
"""Pages that no other test looks at on a phone in the dark."""


@dataclass(frozen=True)
class Office:
    """A server with people, and what the pages of its rows are called by."""

    server: RunningServer
    numbers: Mapping[str, int]

    def address(self, path: str) -> str:
        return f"/ui/{path.format_map(self.numbers)}"


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """A loaded model that the user has used, and somebody of each role."""
    folder = tmp_path_factory.mktemp("roles")
    write_reciter(folder / "fox-f32.gguf", FOX)
    with running_server(folder) as server:
        server.wait_for_models("fox")
        person = _make_person(server, USER)
        _make_person(server, CURATOR)
        key = _posted(server, "/api/keys", {"name": "notebook", "person": person})
        talk = {"model": "fox", "messages": [{"role": "user", "content": "Go"}]}
        _posted(server, "/v1/chat/completions", talk, key["key"])
        _make_person(server, ADMINISTRATOR)
        yield Office(server, {"model": 1, "request": 1, "person": person, "key": key["id"]})


def _make_person(server: RunningServer, role: str) -> int:
    body = {"name": role, "role": role, "password": PASSWORD}
    return int(_posted(server, "/api/people", body)["id"])


def _posted(server: RunningServer, path: str, body: object, key: str = "") -> Any:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    reply = requests.post(f"{server.url}{path}", json=body, headers=headers, timeout=120)
    assert reply.ok, reply.text
    return reply.json()


@pytest.fixture(scope="module")
def signed_in(browsers: Browsers, office: Office) -> Iterator[dict[str, Watched]]:
    """A browser of somebody of each role."""
    with (
        watched(browsers.one(), office.server.url) as user,
        watched(browsers.one(), office.server.url) as curator,
        watched(browsers.one(), office.server.url) as administrator,
    ):
        seen = dict(zip(ROLES, (user, curator, administrator), strict=True))
        for role, one in seen.items():
            one.open("/ui/sign-in/")
            one.page.get_by_label("Name").fill(role)
            one.page.get_by_label("Password").fill(PASSWORD)
            one.page.get_by_label("Password").press("Enter")
            one.expect_live()
        yield seen


@pytest.fixture(autouse=True)
def _ended_when_stuck() -> Iterator[None]:
    with ended_when_stuck():
        yield


def refused() -> dict[tuple[str, str], frozenset[str]]:
    """Path and method of every route, and the roles that are refused there."""
    found = {}
    for line in (ROOT / "tests" / "access_matrix.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            path, method, *statuses = line.split()
            last = zip(ROLES, statuses[-len(ROLES) :], strict=True)
            found[path, method] = frozenset(role for role, status in last if status == "403")
    return found


REFUSED: Final = refused()

_LEADS: Final = """() => [
  ...[...document.querySelectorAll("a[href]")].map((one) => ["GET", one.href]),
  ...[...document.querySelectorAll("button[type=submit]")]
    .filter((one) => one.form && getComputedStyle(one).display !== "none")
    .map((one) => [(one.getAttribute("formmethod") ?? one.form.method).toUpperCase(),
                   one.hasAttribute("formaction") ? one.formAction : one.form.action]),
]"""


def leads(seen: Watched) -> set[tuple[str, str]]:
    """Path and method of all that a page's links and buttons lead to, as the table writes them."""
    found = seen.page.evaluate(_LEADS)
    here = [(method, urlsplit(url).path) for method, url in found if url.startswith(seen.origin)]
    return {(re.sub(r"/\d+(?=/)", "/1", path), method) for method, path in here}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path.strip("/").replace("/", "-"))
def test_each_role_sees_what_it_may_use_and_nothing_else(
    page: Page, office: Office, signed_in: dict[str, Watched]
) -> None:
    for role, seen in signed_in.items():
        there = seen.page.goto(seen.origin + office.address(page.path))
        assert there is not None
        if role not in page.who:
            assert there.status == 403, f"{role} sees {page.path}"
            seen.complaints.clear()  # Chromium reports it.
            continue
        assert there.ok, f"{role} does not see {page.path}: {there.status}"
        shown = {name for name, who in NAVIGATION.items() if role in who}
        assert set(seen.page.locator(".nav-link").all_inner_texts()) == shown
        for part, who in page.parts.items():
            if role in who:
                expect(seen.page.locator(part).first, f"{role} lacks {part}").to_be_visible()
            else:
                expect(seen.page.locator(part), f"{role} sees {part}").to_have_count(0)
        in_vain = {lead for lead in leads(seen) if role in REFUSED.get(lead, ())}
        assert in_vain == set(), f"{role} is led on {page.path} to what is refused"
        seen.check_quiet()


@pytest.mark.parametrize("role", [USER, CURATOR])
def test_a_refused_page_says_so_and_leads_back(role: str, signed_in: dict[str, Watched]) -> None:
    seen = signed_in[role]
    seen.open("/ui/keys/people/")
    seen.complaints.clear()  # Chromium reports the 403.
    expect(seen.page.get_by_role("heading", level=1)).to_be_visible()
    seen.check()
    seen.page.get_by_role("link", name="Back to the start").click()
    expect(seen.page).to_have_url(re.compile("/ui/dashboard/"))


@pytest.mark.parametrize("path", OTHERS)
def test_other_pages_fit_a_phone_in_the_dark(
    path: str, browsers: Browsers, office: Office, signed_in: dict[str, Watched]
) -> None:
    state = signed_in[ADMINISTRATOR].page.context.storage_state()
    dark = {"color_scheme": "dark", "storage_state": state, **PHONE}
    with watched(browsers.one(), office.server.url, **dark) as phone:
        phone.open(office.address(path))
        phone.expect_live()
        phone.check_fits()
        phone.check()


def test_signing_in_fits_a_phone_in_the_dark(browsers: Browsers, office: Office) -> None:
    with watched(browsers.one(), office.server.url, color_scheme="dark", **PHONE) as phone:
        phone.open("/ui/")
        expect(phone.page.get_by_label("Password")).to_be_visible()
        phone.check_fits()
        phone.check()
