"""The API's documentation in a real browser, under the policy it is served with."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from tests.browser import LIMIT_MS
from tests.server import RunningServer

pytestmark = pytest.mark.browser


def test_the_api_can_be_browsed_and_tried_without_anything_inline(
    browser: Browser, server: RunningServer
) -> None:
    complaints: list[str] = []
    addresses: list[str] = []
    context = browser.new_context()
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: addresses.append(request.url))
    page.goto(f"{server.url}/api/docs/")
    operation = page.locator("#operations-system-system_specs")
    expect(operation).to_be_visible(timeout=LIMIT_MS)
    operation.click()
    operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table .response").first).to_contain_text(
        "cpuCores", timeout=LIMIT_MS
    )
    context.close()
    assert complaints == []
    assert all(address.startswith((server.url, "data:")) for address in addresses)
