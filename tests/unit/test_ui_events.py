from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import pytest
from django.test import RequestFactory, override_settings
from django_eventstream import views
from django_eventstream.eventrequest import EventRequest

from models_app.rights import Rights, Scope, bounds_of
from proxy_app import ui_events
from proxy_app.ui_events import CHANNEL, ScanState, follow_scans


def scan(**values: Any) -> ScanState:
    state = ScanState(id=1, status="running", step="", current="", total=0, processed=0, problem="")
    return state | values  # type: ignore[return-value]


class Page(views.Listener):  # type: ignore[misc]
    """An open page, as django-eventstream knows it."""

    def __init__(self) -> None:
        super().__init__()
        self.user_id = "anonymous"
        self.channels = {CHANNEL}
        self.assign_loop()

    def told(self) -> list[Any]:
        events = self.channel_items.get(CHANNEL, ())
        return [json.loads(event.data)["value"] for event in events if event.type != "hello"]


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    page = Page()
    views.get_listener_manager().add_listener(page)
    yield page
    views.get_listener_manager().remove_listener(page)


class Database:
    """Answers with one state after the other; the last one stays."""

    def __init__(self, *answers: ScanState | Exception | None) -> None:
        self._answers = list(answers)
        self.is_read = asyncio.Event()

    async def ask(self, work: Callable[[], ScanState | None]) -> ScanState | None:
        answer = self._answers[0]
        if len(self._answers) > 1:
            self._answers.pop(0)
        else:
            self.is_read.set()
        if isinstance(answer, Exception):
            raise answer
        return answer


async def follow_to_the_end(database: Database) -> None:
    """Until the last state was read once more than needed."""
    task = asyncio.create_task(follow_scans(database.ask))
    try:
        await database.is_read.wait()
        database.is_read.clear()
        await database.is_read.wait()
    finally:
        await end(task)


async def end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_it_tells_each_change_once(page: Page) -> None:
    states = (scan(processed=1), scan(processed=1), scan(processed=2), scan(status="completed"))
    await follow_to_the_end(Database(None, *states))
    assert page.told() == [states[0], states[2], states[3]]


async def test_it_goes_on_when_the_database_cannot_be_read(
    page: Page, caplog: pytest.LogCaptureFixture
) -> None:
    await follow_to_the_end(Database(RuntimeError("locked"), scan()))
    assert page.told() == [scan()]
    assert "it is tried again" in caplog.text


async def test_nothing_is_asked_while_no_page_is_open() -> None:
    ui_events.close()  # no page that another test made is awaited any more
    database = Database(scan())
    task = asyncio.create_task(follow_scans(database.ask))
    await asyncio.sleep(3 * ui_events.POLL_SECONDS)
    assert not database.is_read.is_set()
    await end(task)


async def test_who_only_uses_models_is_not_told_what_others_and_the_server_do(page: Page) -> None:
    user = Page()
    user.channels = {ui_events.USERS}
    views.get_listener_manager().add_listener(user)
    ui_events.tell("downloads", {"1": {"filename": "secret.gguf"}})
    ui_events.tell("notices", [{"text": "the disk is full"}])
    ui_events.tell("models", {"changed": [], "gone": ["fox"]})
    views.get_listener_manager().remove_listener(user)
    news = [json.loads(event.data) for event in user.channel_items[ui_events.USERS]]
    assert [one["value"] for one in news] == [None, None, {"changed": [], "gone": ["fox"]}]
    numbers = [int(one["version"].partition("-")[2]) for one in news]
    assert numbers == [numbers[0], numbers[0] + 1, numbers[0] + 2], "no page misses one"
    assert page.told()[1] == [{"text": "the disk is full"}]


async def test_who_may_use_some_models_hears_no_names_of_others(page: Page) -> None:
    some = Rights(1, "ann", frozenset({Scope.INFERENCE}), bounds_of(["sea"], []))
    assert ui_events.channel_for(some) == ui_events.LIMITED
    user = Page()
    user.channels = {ui_events.LIMITED}
    views.get_listener_manager().add_listener(user)
    ui_events.tell("models", {"changed": [{"id": "fox"}], "gone": ["fox"]})
    views.get_listener_manager().remove_listener(user)
    (news,) = [json.loads(event.data) for event in user.channel_items[ui_events.LIMITED]]
    assert news["value"] == {"changed": [], "gone": []}


@pytest.mark.parametrize("scope", Scope)
def test_whoever_manages_models_hears_everything(scope: Scope) -> None:
    channel = ui_events.channel_for(Rights(1, "ann", frozenset({scope})))
    assert channel == (CHANNEL if scope is Scope.MANAGE else ui_events.USERS)


@override_settings(EVENTSTREAM_CHANNELMANAGER_CLASS="proxy_app.ui_events.Channels")
async def test_closing_ends_the_streams_of_open_pages_and_refuses_new_ones() -> None:
    open_stream = stream()
    assert "stream-open" in await anext(open_stream)
    ui_events.close()
    assert "stream-error" in "".join([piece async for piece in open_stream])
    assert "stream-error" in "".join([piece async for piece in stream()])
    await start_and_end()
    again = stream()
    assert "stream-open" in await anext(again)
    await again.aclose()


async def start_and_end() -> None:
    task = asyncio.create_task(follow_scans(Database(None).ask))
    await asyncio.sleep(0)
    await end(task)


def stream() -> AsyncGenerator[str, None]:
    request = EventRequest(RequestFactory().get("/ui/events/"), view_kwargs={"channels": [CHANNEL]})
    pieces: AsyncGenerator[str, None] = views.stream(request, Page())
    return pieces
