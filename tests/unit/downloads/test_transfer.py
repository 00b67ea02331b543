"""One file over a line on which everything goes wrong."""

from __future__ import annotations

import errno
import os
import random
import threading
from pathlib import Path
from typing import Any

import pytest

from downloads_app.halt import Stopped
from downloads_app.pacing import GIVE_UP_AFTER
from downloads_app.stage import FOLDER
from downloads_app.transfer import Done, Order, Progress, Transfer
from downloads_app.trouble import Kind, Trouble
from tests.hub import Asked, Blob, Fault, Hub

PIECE = 64 * 1024
DATA = random.Random(1).randbytes(10 * PIECE + 123)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


def order(hub: Hub, target: Path, **values: Any) -> Order:
    url = hub.file_url("owner/repo", "model.gguf")
    ready: dict[str, Any] = {"url": url, "target": target, "key": "k", "piece": PIECE}
    return Order(**{**ready, "patience": 0.0, **values})


def fetch(hub: Hub, target: Path, **values: Any) -> Done:
    return Transfer(order(hub, target, **values)).run()


def serve(hub: Hub, data: bytes = DATA, *faults: Fault) -> None:
    hub.add("owner/repo", {"model.gguf": data})
    hub.faults.extend(faults)


def left(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


def test_a_file_comes_whole_and_verified(hub: Hub, target: Path) -> None:
    serve(hub)
    done = fetch(hub, target)
    assert (target.read_bytes(), done.verified, done.size) == (DATA, True, len(DATA))
    assert left(target) == ["model.gguf"]


@pytest.mark.parametrize("size", [0, 1, PIECE, PIECE + 1])
def test_a_file_of_any_size_comes(hub: Hub, target: Path, size: int) -> None:
    serve(hub, DATA[:size])
    fetch(hub, target)
    assert target.read_bytes() == DATA[:size]


def test_it_uses_several_connections(hub: Hub, target: Path) -> None:
    serve(hub, DATA, Fault("rate", -1, 2_000_000))
    fetch(hub, target, connections=4)
    starts = {asked.headers["range"] for asked in hub.asked_of("store") if not asked.is_probe}
    assert len(starts) >= 4


@pytest.mark.parametrize(
    "fault",
    [
        Fault("cut", 5, after=PIECE + 100),
        Fault("cut", 3, after=0),
        Fault("status", 3, status=500),
        Fault("status", 2, status=503, headers={"Retry-After": "1"}),
        Fault("status", 2, status=429, headers={"Retry-After": "1"}),
        Fault("status", 2, status=408),
        Fault("wrong-range", 1),
        Fault("no-ranges", -1, probe=True),
        Fault("no-length", -1, probe=True),
        Fault("no-range-416", -1),
        Fault("no-ranges", -1),
        Fault("corrupt", 1, after=100),
        Fault("status", 2, status=502, at="hub", probe=True),
        Fault("status", 1, status=403),
        Fault("wrong-range", -1),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}-{fault.times}",
)
def test_it_gets_over(hub: Hub, target: Path, fault: Fault) -> None:
    serve(hub, DATA, fault)
    fetch(hub, target)
    assert target.read_bytes() == DATA
    assert left(target) == ["model.gguf"]


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (Fault("status", -1, status=404, at="hub", probe=True), Kind.NOT_FOUND, "no such file"),
        (Fault("status", -1, status=410, at="hub", probe=True), Kind.NOT_FOUND, "no such file"),
        (Fault("status", -1, status=401, at="hub", probe=True), Kind.SIGN_IN, "token"),
        (Fault("status", -1, status=403, at="hub", probe=True), Kind.FORBIDDEN, "gated"),
        (Fault("status", -1, status=451, at="hub", probe=True), Kind.REFUSED, "451"),
    ],
    ids=lambda value: str(getattr(value, "status", "")),
)
def test_what_cannot_get_better_is_not_tried_again(
    hub: Hub, target: Path, fault: Fault, kind: Kind, words: str
) -> None:
    serve(hub, DATA, fault)
    with pytest.raises(Trouble, match=words) as raised:
        fetch(hub, target)
    assert raised.value.kind == kind
    assert len(hub.asked) == 1
    assert left(target) == []


def test_a_server_that_always_fails_is_given_up_with_its_last_word(hub: Hub, target: Path) -> None:
    serve(hub, DATA, Fault("status", -1, status=503))
    with pytest.raises(Trouble, match="problem of its own") as raised:
        fetch(hub, target, connections=1)
    assert raised.value.kind == Kind.SERVER
    assert len([one for one in hub.asked_of("store") if not one.is_probe]) == GIVE_UP_AFTER


def test_a_link_that_expired_is_asked_for_anew(hub: Hub, target: Path) -> None:
    serve(hub, DATA, Fault("status", 1, status=403))
    fetch(hub, target, connections=1)
    assert len(hub.asked_of("hub")) == 2


def test_a_page_instead_of_the_file_is_no_model(hub: Hub, target: Path) -> None:
    hub.plain["model.gguf"] = Blob(DATA)
    hub.faults.append(Fault("page", -1, probe=True))
    with pytest.raises(Trouble, match="web page") as raised:
        fetch(
            hub,
            target,
            url=f"{hub.store_url}/files/model.gguf",
            check=lambda path: "It is a web page." if b"<html>" in path.read_bytes() else "",
        )
    assert raised.value.kind == Kind.NOT_A_MODEL
    assert left(target) == []


@pytest.mark.parametrize("kind", ["no-ranges", ""])
def test_a_server_that_keeps_to_wrong_content_is_found_out(
    hub: Hub, target: Path, kind: str
) -> None:
    serve(hub, DATA, *([Fault(kind, -1, probe=True)] if kind else []))
    with pytest.raises(Trouble, match="SHA-256") as raised:
        fetch(hub, target, sha256="0" * 64)
    assert raised.value.kind == Kind.DAMAGED
    assert left(target) == []


def test_a_damaged_piece_is_mended_and_the_rest_kept(hub: Hub, target: Path) -> None:
    """demands: a digest mismatch after 42 GB meant starting again from zero (ollama#941)."""
    stop_after_three_pieces(hub, target)
    with (target.parent / FOLDER / "k" / "data").open("r+b") as file:
        file.seek(PIECE + 5)
        file.write(b"spoiled by the disk")
    told: list[Progress] = []
    done = Transfer(order(hub, target, connections=1), told.append).run()
    assert (target.read_bytes(), done.verified) == (DATA, True)
    ranges = [one.headers["range"] for one in hub.asked_of("store") if not one.is_probe]
    assert ranges[-1] == f"bytes={PIECE}-{2 * PIECE - 1}"
    assert ranges[0].startswith(f"bytes={3 * PIECE}-")
    assert any("1 pieces are fetched again" in progress.note for progress in told)


def stop_after_three_pieces(hub: Hub, target: Path) -> None:
    serve(hub)
    stopped = threading.Event()

    def choose(asked: Asked) -> Fault | None:
        third = asked.headers.get("range", "").startswith(f"bytes={2 * PIECE}-")
        return Fault("stall", after=PIECE) if third else None

    hub.choose = choose

    def note(progress: Progress) -> None:
        if progress.done >= 3 * PIECE:
            stopped.set()

    with pytest.raises(Stopped):
        Transfer(order(hub, target, connections=1), note, stopped).run()
    hub.choose = lambda asked: None
    hub.asked.clear()


def test_what_is_here_stays_when_it_is_stopped(hub: Hub, target: Path) -> None:
    stop_after_three_pieces(hub, target)
    assert not target.exists()
    fetch(hub, target, connections=1)
    first = next(one for one in hub.asked_of("store") if not one.is_probe)
    assert first.headers["range"].startswith(f"bytes={3 * PIECE}-")
    assert target.read_bytes() == DATA


def test_a_file_that_changed_on_the_server_is_fetched_afresh(hub: Hub, target: Path) -> None:
    """demands: an interrupted download was appended to another file (llama.cpp#12207)."""
    stop_after_three_pieces(hub, target)
    newer = DATA[::-1]
    hub.add("owner/repo", {"model.gguf": newer})
    told: list[Progress] = []
    Transfer(order(hub, target), told.append).run()
    assert target.read_bytes() == newer
    assert any("changed on the server" in progress.note for progress in told)


def test_a_file_that_changes_halfway_is_fetched_afresh(hub: Hub, target: Path) -> None:
    newer = DATA[::-1]
    serve(hub)

    def choose(asked: Asked) -> Fault | None:
        if (
            asked.at == "store"
            and not asked.is_probe
            and hub.repos["owner/repo"].files["model.gguf"].source is DATA
        ):
            hub.add("owner/repo", {"model.gguf": newer})
            return Fault("cut", after=PIECE)
        return None

    hub.choose = choose
    fetch(hub, target, connections=1)
    assert target.read_bytes() == newer


@pytest.mark.parametrize("kind", ["", "no-ranges"])
def test_the_token_goes_to_the_hub_alone(hub: Hub, target: Path, kind: str) -> None:
    serve(hub, DATA, *([Fault(kind, -1, probe=True)] if kind else []))
    fetch(hub, target, token="hf_secret")
    assert len(hub.asked_of("store")) > 1
    assert {one.token for one in hub.asked_of("hub")} == {"hf_secret"}
    assert {one.token for one in hub.asked_of("store")} == {""}


def test_a_gated_model_comes_with_its_token_and_says_what_is_missing_without(
    hub: Hub, target: Path
) -> None:
    hub.add("owner/repo", {"model.gguf": DATA}, token="hf_right")
    with pytest.raises(Trouble, match="accept its terms"):
        fetch(hub, target)
    with pytest.raises(Trouble, match="accept its terms"):
        fetch(hub, target, token="hf_wrong")
    fetch(hub, target, token="hf_right")
    assert target.read_bytes() == DATA


def test_a_file_that_is_there_is_never_replaced(hub: Hub, target: Path) -> None:
    serve(hub)
    target.write_bytes(b"mine")
    with pytest.raises(Trouble) as raised:
        fetch(hub, target)
    assert raised.value.kind == Kind.EXISTS
    assert target.read_bytes() == b"mine"


def test_a_full_disk_is_named(hub: Hub, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(hub)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(Trouble, match="is full") as raised:
        fetch(hub, target)
    assert raised.value.kind == Kind.DISK_FULL
    assert left(target) == []


def test_a_folder_that_is_a_file_is_named(hub: Hub, tmp_path: Path) -> None:
    serve(hub)
    (tmp_path / "file").write_text("")
    with pytest.raises(Trouble, match="cannot be written to") as raised:
        fetch(hub, tmp_path / "file" / "model.gguf")
    assert raised.value.kind == Kind.FOLDER


def test_redirects_without_end_are_given_up(hub: Hub, target: Path) -> None:
    serve(hub)
    hub.elsewhere = hub.file_url("owner/repo", "model.gguf")
    with pytest.raises(Trouble, match="without end"):
        fetch(hub, target)


def test_a_server_that_cuts_within_every_piece_gets_there_all_the_same(
    hub: Hub, target: Path
) -> None:
    data = random.Random(2).randbytes(4 * 1024 * 1024)
    serve(hub, data, Fault("cut", -1, after=1_300_000))
    fetch(hub, target, piece=4 * 1024 * 1024, connections=1)
    assert target.read_bytes() == data
