from __future__ import annotations

from models_app.models import ServerSettings
from proxy_app.rules import MIB, GatewayRules
from proxy_app.upstream_connection import UpstreamTimeouts


def test_settings_become_rules() -> None:
    row = ServerSettings(
        max_body_mib=3,
        loading_heartbeat=7,
        connect_timeout=2,
        first_token_timeout=11,
        next_token_timeout=13,
        reading_timeout=17,
        usage_days=0,
        allowed_origins=["https://chat.example"],
    )
    rules = GatewayRules.of(row)
    assert (rules.max_body, rules.heartbeat, rules.reading_limit) == (3 * MIB, 7, 17)
    assert rules.timeouts == UpstreamTimeouts(connect=2, first_byte=11, between_chunks=13)
    assert not rules.keeps_usage
    assert rules.origins == {b"https://chat.example"}


def test_none_is_no_limit_and_a_model_has_its_own() -> None:
    row = ServerSettings(connect_timeout=2, first_token_timeout=0, next_token_timeout=0)
    rules = GatewayRules.of(row)
    assert rules.timeouts == UpstreamTimeouts(connect=2, first_byte=None, between_chunks=None)
    own = rules.timeouts_for({"connect": 0, "responseHeader": 5})
    assert own == UpstreamTimeouts(connect=None, first_byte=5, between_chunks=None)
