"""How the gateway treats clients and engines: the server's settings as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from models_app import origins
from models_app.models import ServerSettings
from proxy_app.upstream_connection import UpstreamTimeouts

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class GatewayRules:
    """What holds for every request."""

    max_body: int = 128 * MIB
    """Bytes; images travel in bodies as base64."""
    heartbeat: float = 0
    """Seconds between signs of life while a model loads; 0 none."""
    timeouts: UpstreamTimeouts = field(default_factory=UpstreamTimeouts)
    """For engines whose model sets none of its own."""
    reading_limit: float = 60
    """Seconds a client may take nothing of an answer that waits for it; 0 is for ever."""
    keeps_usage: bool = True
    """Whether ended requests are written down."""
    origins: frozenset[bytes] = frozenset()
    """Whose pages may use the API from another site."""

    @classmethod
    def of(cls, row: ServerSettings) -> GatewayRules:
        return cls(
            max_body=row.max_body_mib * MIB,
            heartbeat=row.loading_heartbeat,
            timeouts=UpstreamTimeouts(
                connect=row.connect_timeout or None,
                first_byte=row.first_token_timeout or None,
                between_chunks=row.next_token_timeout or None,
            ),
            reading_limit=row.reading_timeout,
            keeps_usage=row.usage_days > 0,
            origins=origins.usable(row.allowed_origins),
        )

    def timeouts_for(self, own: Mapping[str, int]) -> UpstreamTimeouts:
        """The limits of one model, whose own are named as in config.yaml; 0 is no limit."""
        if not own:
            return self.timeouts
        return UpstreamTimeouts(
            connect=_limit(own, "connect", self.timeouts.connect),
            first_byte=_limit(own, "responseHeader", self.timeouts.first_byte),
            between_chunks=self.timeouts.between_chunks,
        )


def _limit(own: Mapping[str, int], name: str, otherwise: float | None) -> float | None:
    return (own[name] or None) if name in own else otherwise
