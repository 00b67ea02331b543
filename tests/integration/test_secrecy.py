from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from models_app import secrecy
from models_app.document import ConfigDocument, ModelEntry
from models_app.models import KeptSecret, Revision

pytestmark = pytest.mark.django_db

SECRET = "sk-hunter2-9f8e7d"


def mask(value: Any) -> tuple[Any, dict[str, str]]:
    found: dict[str, str] = {}
    return secrecy.masked(value, found), found


@pytest.mark.parametrize(
    "value",
    [
        {"apiKeys": [SECRET]},
        {"peers": {"far": {"apiKey": SECRET, "proxy": "http://x"}}},
        {"models": {"a": {"cmd": f"server --port 1 --api-key {SECRET} -c 5"}}},
        {"models": {"a": {"cmd": f"server --api-key='{SECRET}'"}}},
        {"models": {"a": {"cmd": f"server --api-key \\\n  {SECRET}\n  -c 5"}}},
        {"models": {"a": {"cmd": f"server -hft {SECRET}"}}},
        {"models": {"a": {"cmd": f"docker run -e HF_TOKEN={SECRET} image"}}},
        {"models": {"a": {"env": ["A=1", f"HF_TOKEN={SECRET}"]}}},
        {"models": {"a": {"proxy": f"http://me:{SECRET}@127.0.0.1:9"}}},
        {"models": {"a": {"set_params": {"password": SECRET}}}},
        {"macros": {"hf_token": SECRET}},
        {"settings": {"macros": {"api-key": SECRET}}},
    ],
)
def test_no_secret_is_left_and_all_come_back(value: Any) -> None:
    masked, found = mask(value)
    assert SECRET not in str(masked)
    assert list(found.values()) == [SECRET]
    secrecy.keep(found)
    assert secrecy.unmasked(masked) == value


@pytest.mark.parametrize(
    "value",
    [
        {"apiKeys": ["${env.KEY}"], "peers": {"key-peer": {"proxy": "http://x/y"}}},
        {"models": {"token-counter": {"name": "Token counter", "cmd": "x --port ${PORT}"}}},
        {"models": {"a": {"set_params": {"max_tokens": 100, "keep": "x", "keyboard": "y"}}}},
        {"models": {"a": {"cmd": "server --api-key-file /etc/keys --token-embedding"}}},
        {"models": {"a": {"cmd": "server --api-key ${env.KEY}", "env": ["KEY=${env.KEY}"]}}},
        {"settings": {"start_port": 8100, "log_level": "info"}},
    ],
)
def test_what_is_no_secret_stays(value: Any) -> None:
    assert mask(value) == (value, {})


def test_the_same_secret_has_the_same_mark_and_another_another() -> None:
    assert secrecy.mark_of("a") == secrecy.mark_of("a") != secrecy.mark_of("b")


def test_a_document_gets_its_secrets_back() -> None:
    found: dict[str, str] = {}
    mark = secrecy.masked({"k": {"apiKey": SECRET}}, found)["k"]["apiKey"]
    secrecy.keep(found)
    document = ConfigDocument(
        models={"a": ModelEntry("a", cmd=f"x --api-key {mark}", env=(f"K={mark}",))},
        kept_keys={"apiKeys": [mark]},
    )
    assert secrecy.unmasked(document) == ConfigDocument(
        models={"a": ModelEntry("a", cmd=f"x --api-key {SECRET}", env=(f"K={SECRET}",))},
        kept_keys={"apiKeys": [SECRET]},
    )


def test_a_secret_goes_with_the_last_revision_that_names_it() -> None:
    found: dict[str, str] = {}
    masked = secrecy.masked({"apiKeys": [SECRET, "other"]}, found)
    secrecy.keep(found)
    secrecy.keep(found)
    Revision.objects.create(digest="x", yaml=masked["apiKeys"][0])
    secrecy.forget_unused()
    assert KeptSecret.objects.get().value == SECRET
    Revision.objects.all().delete()
    secrecy.forget_unused()
    assert not KeptSecret.objects.exists()


class AnyValue(TestCase):
    @given(
        st.recursive(
            st.text(max_size=20) | st.integers() | st.none(),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["env", "apiKey", "cmd", "models", "x-token"]),
                    inner,
                    max_size=3,
                )
            ),
            max_leaves=6,
        )
    )
    def test_masking_never_changes_what_comes_back(self, value: Any) -> None:
        masked, found = mask(value)
        secrecy.keep(found)
        assert secrecy.unmasked(masked) == value
