from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from claracore_site import env


@pytest.fixture
def setting(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def set_it(value: str) -> None:
        monkeypatch.setenv("CLARACORE_SAMPLE", value)

    return set_it


def test_an_unset_or_blank_variable_gives_the_default(setting: Callable[[str], None]) -> None:
    assert env.integer("SAMPLE", 7, lowest=1, highest=9) == 7
    setting("  ")
    assert env.text("SAMPLE", "x") == "x"
    assert env.boolean("SAMPLE", True) is True
    assert env.gibibytes("SAMPLE") is None


def test_the_name_of_a_node_is_read_strictly(setting: Callable[[str], None]) -> None:
    assert env.node("SAMPLE", "main") == "main"
    setting("gpu-2")
    assert env.node("SAMPLE", "main") == "gpu-2"
    setting("the cellar")
    with pytest.raises(ImproperlyConfigured, match="CLARACORE_SAMPLE must be 1 to 63 letters"):
        env.node("SAMPLE", "main")


@pytest.mark.parametrize(("value", "expected"), [("YES", True), ("off", False), ("1", True)])
def test_it_reads_booleans_in_the_usual_words(
    setting: Callable[[str], None], value: str, expected: bool
) -> None:
    setting(value)
    assert env.boolean("SAMPLE", not expected) is expected


def test_a_bad_value_names_its_variable(setting: Callable[[str], None]) -> None:
    setting("maybe")
    with pytest.raises(ImproperlyConfigured, match="CLARACORE_SAMPLE must be true or false"):
        env.boolean("SAMPLE", True)
    with pytest.raises(ImproperlyConfigured, match="CLARACORE_SAMPLE must be a whole number"):
        env.integer("SAMPLE", 1, lowest=0, highest=2)
    with pytest.raises(ImproperlyConfigured, match="CLARACORE_SAMPLE must be a number of GiB"):
        env.gibibytes("SAMPLE")
    with pytest.raises(ImproperlyConfigured, match="CLARACORE_SAMPLE must be one of a, b"):
        env.choice("SAMPLE", "a", ("a", "b"))


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf"])
def test_memory_must_be_a_real_amount(setting: Callable[[str], None], value: str) -> None:
    setting(value)
    with pytest.raises(ImproperlyConfigured, match="CLARACORE_SAMPLE"):
        env.gibibytes("SAMPLE")


def test_a_number_out_of_range_is_refused(setting: Callable[[str], None]) -> None:
    setting("70000")
    with pytest.raises(ImproperlyConfigured, match="between 1 and 65535"):
        env.integer("SAMPLE", 1, lowest=1, highest=65535)


def test_paths_are_made_absolute(setting: Callable[[str], None], tmp_path: Path) -> None:
    setting(f"{tmp_path}/a/../b")
    assert env.path("SAMPLE", tmp_path) == tmp_path / "b"


def test_lists_are_split_at_commas(setting: Callable[[str], None]) -> None:
    setting("a.example , b.example,,")
    assert env.words("SAMPLE") == ["a.example", "b.example"]


def test_a_path_of_nobody_is_refused(setting: Callable[[str], None], tmp_path: Path) -> None:
    setting("~no-such-user/x")
    with pytest.raises(ImproperlyConfigured, match="CLARACORE_SAMPLE is ~no-such-user/x"):
        env.path("SAMPLE", tmp_path)


def test_a_folder_is_made_for_its_owner_alone(
    setting: Callable[[str], None], tmp_path: Path
) -> None:
    setting(f"{tmp_path}/a/b")
    assert env.folder("SAMPLE", tmp_path) == tmp_path / "a" / "b"
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


def test_a_file_is_made_for_its_owner_alone_and_left_as_it_is(tmp_path: Path) -> None:
    for _ in range(2):
        assert env.own_file(tmp_path / "new").stat().st_mode & 0o777 == 0o600
    (tmp_path / "old").write_text("kept")
    (tmp_path / "old").chmod(0o640)
    old = env.own_file(tmp_path / "old")
    assert (old.read_text(), old.stat().st_mode & 0o777) == ("kept", 0o640)
    assert not env.own_file(tmp_path / "nowhere" / "file").exists()


def test_a_folder_that_cannot_be_made_names_its_variable(
    setting: Callable[[str], None], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    for place in ("file", "file/below"):
        setting(f"{tmp_path}/{place}")
        with pytest.raises(ImproperlyConfigured, match=r"CLARACORE_SAMPLE is .* cannot be made"):
            env.folder("SAMPLE", tmp_path)


def test_hosts_are_names_and_addresses(setting: Callable[[str], None]) -> None:
    setting("LLM.lan, 192.168.1.2, ::1, [fe80::1], box-1")
    assert env.hosts("SAMPLE") == ["llm.lan", "192.168.1.2", "[::1]", "[fe80::1]", "box-1"]


@pytest.mark.parametrize(
    "value", ["http://llm.lan", "llm.lan/", "llm.lan:80", "*", ".llm.lan", "a b", "-a", "[x]"]
)
def test_what_is_no_host_is_refused(setting: Callable[[str], None], value: str) -> None:
    setting(f"good.lan,{value}")
    with pytest.raises(ImproperlyConfigured, match="CLARACORE_SAMPLE must list host names"):
        env.hosts("SAMPLE")


@pytest.mark.parametrize(
    ("value", "engine", "name"),
    [
        ("sqlite:////srv/a.db", "django.db.backends.sqlite3", "/srv/a.db"),
        ("postgres://me:p%40ss@db:5432/clara", "django.db.backends.postgresql", "clara"),
        ("postgresql:///clara", "django.db.backends.postgresql", "clara"),
    ],
)
def test_it_reads_a_database_url(
    setting: Callable[[str], None], value: str, engine: str, name: str
) -> None:
    assert env.database_url("SAMPLE") is None
    setting(value)
    connection = env.database_url("SAMPLE")
    assert connection is not None
    assert (connection["ENGINE"], connection["NAME"]) == (engine, name)


@pytest.mark.parametrize(
    ("query", "seconds"), [("", env.CONNECT_SECONDS), ("?connect_timeout=30", 30)]
)
def test_it_does_not_wait_for_ever_for_a_database(
    setting: Callable[[str], None], query: str, seconds: int
) -> None:
    setting(f"postgres://me@db/clara{query}")
    connection = env.database_url("SAMPLE")
    assert connection is not None
    assert int(connection["OPTIONS"]["connect_timeout"]) == seconds


@pytest.mark.parametrize(
    "value",
    [
        "db.sqlite3",
        "mysql://me:hush@db/clara",
        "postgres://",
        "postgres://me:hush@db",
        "postgres://me:hush@db:port/clara",
        "postgres://me:hush[@db/clara",
    ],
)
def test_a_bad_database_url_names_its_variable_and_tells_no_password(
    setting: Callable[[str], None], value: str
) -> None:
    setting(value)
    with pytest.raises(ImproperlyConfigured, match="CLARACORE_SAMPLE") as caught:
        env.database_url("SAMPLE")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("value", ["redis://h:6379/0", "rediss://h", "unix:///run/redis.sock"])
def test_it_takes_a_redis_url(setting: Callable[[str], None], value: str) -> None:
    assert env.redis_url("SAMPLE") == ""
    setting(value)
    assert env.redis_url("SAMPLE") == value


@pytest.mark.parametrize("value", ["localhost:6379", "http://:hush@h", "redis://", "redis"])
def test_another_url_than_of_redis_is_refused(setting: Callable[[str], None], value: str) -> None:
    setting(value)
    with pytest.raises(ImproperlyConfigured, match="CLARACORE_SAMPLE must be a URL") as caught:
        env.redis_url("SAMPLE")
    assert "hush" not in str(caught.value)


def test_reading_a_variable_makes_it_known() -> None:
    assert {"CLARACORE_HOME", "CLARACORE_PORT", "CLARACORE_ALLOWED_HOSTS"} <= env.known()


def test_an_unknown_variable_comes_with_the_name_it_was_meant_to_be() -> None:
    environment = ["PATH", "CLARACORE_PORT", "CLARACORE_PROT", "CLARACORE_XYZZY"]
    assert env.unknown(environment, ["CLARACORE_PORT", "CLARACORE_HOST"]) == {
        "CLARACORE_PROT": "CLARACORE_PORT",
        "CLARACORE_XYZZY": "",
    }


def test_another_programs_variable_stands_in_for_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER", "https://hub.example.org/")
    assert env.web_url("SAMPLE", "https://a", also="OTHER") == "https://hub.example.org"
    monkeypatch.setenv("CLARACORE_SAMPLE", "http://mine")
    assert env.web_url("SAMPLE", "https://a", also="OTHER") == "http://mine"
    monkeypatch.delenv("CLARACORE_SAMPLE")
    monkeypatch.setenv("OTHER", "hub.example.org")
    with pytest.raises(ImproperlyConfigured, match="OTHER must be an address"):
        env.web_url("SAMPLE", "https://a", also="OTHER")


def test_a_bad_token_is_refused_without_being_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLARACORE_SAMPLE", "hf_a b")
    with pytest.raises(ImproperlyConfigured, match="CLARACORE_SAMPLE holds") as told:
        env.secret("SAMPLE")
    assert "hf_a" not in str(told.value)


@pytest.mark.parametrize(
    ("url", "celery"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("unix:///run/redis/redis.sock", "redis+socket:///run/redis/redis.sock"),
        ("unix:///run/r.sock?db=2", "redis+socket:///run/r.sock?virtual_host=2"),
    ],
)
def test_celery_is_told_of_a_socket_in_its_own_words(url: str, celery: str) -> None:
    assert env.celery_url(url) == celery
