from __future__ import annotations

from pathlib import Path

import pytest

from proxy_app.engine_logs import LogFollower
from proxy_app.log_files import log_path


@pytest.mark.parametrize("model", ["a/b", "../../etc/passwd", "x" * 300, "ü", "..", "a b"])
def test_a_log_file_never_leaves_its_folder(tmp_path: Path, model: str) -> None:
    path = log_path(tmp_path, model)
    assert path.parent == tmp_path / "logs" / "engines"
    assert path.resolve().parent == path.parent
    assert len(path.name) < 128


def test_two_ids_never_share_a_file(tmp_path: Path) -> None:
    names = ["a/b", "a-b", "a b", "a:b", "A-b"]
    assert len({log_path(tmp_path, name) for name in names}) == len(names)


def test_it_hands_on_what_is_new_and_starts_again_after_a_rotation(tmp_path: Path) -> None:
    log = tmp_path / "m.log"
    log.write_text("old\n")
    follower = LogFollower(tmp_path)
    follower.skip_existing()
    assert follower.read_new() == ""
    log.write_text("old\nnew\npart")
    assert follower.read_new() == "new\n"
    log.write_text("x\n")
    assert follower.read_new() == "x\n"
    follower.close()


def test_nothing_is_missed_between_two_looks_when_a_file_is_rotated(tmp_path: Path) -> None:
    log = tmp_path / "m.log"
    log.write_text("one\n")
    follower = LogFollower(tmp_path)
    assert follower.read_new() == "one\n"
    with log.open("a") as file:
        file.write("two\n")
    log.rename(tmp_path / "m.log.1")
    log.write_text("three\n")
    assert follower.read_new() + follower.read_new() == "two\nthree\n"
    follower.close()
