from __future__ import annotations

from pathlib import Path

from proxy_app.read_ahead import files_of, read_ahead


def test_it_knows_the_files_of_a_command() -> None:
    argv = ["llama-server", "-m", "/a.gguf", "--port", "1", "--mmproj", "/b.gguf", "--jinja"]
    assert files_of(argv) == ["/a.gguf", "/b.gguf"]
    assert files_of(["other", "--flag"]) == []


def test_it_asks_for_the_whole_of_every_file(tmp_path: Path) -> None:
    files = []
    for number in range(2):
        file = tmp_path / str(number)
        file.write_bytes(b"x" * 10_000)
        files.append(str(file))
    assert read_ahead(files) == 20_000


def test_a_file_that_is_gone_is_left_to_the_engine_to_report(tmp_path: Path) -> None:
    file = tmp_path / "here"
    file.write_bytes(b"x")
    assert read_ahead([str(tmp_path / "gone"), str(file)]) == 1
