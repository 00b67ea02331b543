"""A browser that hangs fails one test, not the suite."""

from __future__ import annotations

import pytest
from playwright.sync_api import Error

from tests import browser
from tests.browser import Browsers, ended_when_stuck

pytestmark = pytest.mark.browser


def test_a_page_that_never_answers_is_given_up_and_the_next_test_has_a_new_browser(
    browsers: Browsers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browser, "STUCK_SECONDS", 5)
    page = browsers.one().new_page()
    with ended_when_stuck(), pytest.raises(Error, match="closed"):
        page.evaluate("new Promise(() => {})")
    assert browsers.one().new_page().evaluate("1 + 1") == 2
