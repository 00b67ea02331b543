"""A hub on this machine that speaks Hugging Face's protocol, with faults to switch on."""

from __future__ import annotations

from tests.hub.content import Asked, Blob, Fault, Repo
from tests.hub.server import Hub, running_hub

__all__ = ["Asked", "Blob", "Fault", "Hub", "Repo", "running_hub"]
