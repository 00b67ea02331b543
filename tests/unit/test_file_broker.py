"""The broker in files: it delivers, and lets go of whoever waits for what does not come."""

from __future__ import annotations

import json
import resource
import threading
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection

from claracore_site.file_broker import Transport

HOUR = 3600.0


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Connection:
    """One for all: kombu remembers for its process which queues it has written down."""
    folder = str(tmp_path_factory.mktemp("broker"))
    return Connection(
        "filesystem://localhost",
        transport=Transport,
        transport_options={
            "data_folder_in": folder,
            "data_folder_out": folder,
            "control_folder": folder,
            "polling_interval": 0.01,
        },
    )


def test_it_delivers_what_was_sent(broker: Connection) -> None:
    with broker as connection, connection.SimpleQueue("letters") as queue:
        queue.put({"run": 1})
        assert queue.get(timeout=HOUR).payload == {"run": 1}


def test_a_wait_for_nothing_ends_long_before_its_time(broker: Connection) -> None:
    """Else a worker without work hears too late that it is to stop, and is killed instead."""
    with broker as connection, connection.SimpleQueue("letters"), pytest.raises(TimeoutError):
        connection.drain_events(timeout=HOUR)


def test_whoever_looks_meanwhile_sees_whole_messages_and_whole_lists_of_queues(
    tmp_path: Path,
) -> None:
    """A worker that read half of one ended with an error, and the work in it was lost."""
    with Connection(
        "filesystem://localhost",
        transport=Transport,
        transport_options={"data_folder_out": str(tmp_path), "control_folder": str(tmp_path)},
    ) as connection:
        channel: Any = connection.default_channel
        done = threading.Event()

        def write() -> None:
            try:
                for number in range(300):
                    channel._queue_bind(f"exchange-{number}", "key", "", "letters")
                    channel._put("letters", {"text": "x" * 200_000})
            finally:
                done.set()

        writer = threading.Thread(target=write)
        writer.start()
        seen = 0
        while not (done.is_set() and seen):
            for file in [*tmp_path.glob("*.msg"), *tmp_path.glob("*.exchange")]:
                assert json.loads(file.read_bytes()) is not None
                if file.suffix == ".msg":
                    file.unlink()
                seen += 1
        writer.join()

    assert not list(tmp_path.glob("*.part"))


def test_a_message_for_which_there_is_no_room_leaves_nothing_behind(tmp_path: Path) -> None:
    with Connection(
        "filesystem://localhost",
        transport=Transport,
        transport_options={"data_folder_out": str(tmp_path), "control_folder": str(tmp_path)},
    ) as connection:
        channel: Any = connection.default_channel
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        try:
            with pytest.raises(OSError):
                channel._put("letters", {"text": "x" * 200_000})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())
