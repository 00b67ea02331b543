"""Which model answers to a name that a request uses."""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote

from proxy_app.errors import InvalidRequest
from proxy_app.lineup import Served
from proxy_app.process import EngineState
from proxy_app.runner import Runner

_OTHER_ESCAPE: Final = b"%u"
"""`%u0074ools` is `/tools` to llama-server, and to nobody who judges the path before it."""


def resolve(runner: Runner, name: str) -> Served:
    """The model for a name; of a virtual one the first member that is loaded, else the first.

    Raises ModelNotFound.
    """
    lineup = runner.lineup
    members = lineup.virtual.get(name)
    if members is None:
        return lineup.resolve(name)
    loaded = (model for model in members if runner.state(model) is EngineState.READY)
    return lineup.models[next(loaded, members[0])]


def split_upstream(runner: Runner, raw_path: bytes) -> tuple[Served, bytes]:
    """The model of /upstream/<model>/… and the path at its engine.

    Ids may hold slashes; the shortest id wins. Raises InvalidRequest or ModelNotFound.
    """
    if _OTHER_ESCAPE in raw_path:
        raise InvalidRequest(
            "The path holds %u, which is no escape of addresses. Write each byte of UTF-8 as % and "
            "two digits, such as %C3%A9."
        )
    segments = raw_path.split(b"/")[2:]
    lineup = runner.lineup
    name = ""
    for index, segment in enumerate(segments):
        text = unquote(segment.decode("latin-1"))
        name = f"{name}/{text}" if index else text
        if name in lineup.names or name in lineup.virtual:
            return resolve(runner, name), b"/" + b"/".join(segments[index + 1 :])
    if not segments or not segments[0]:
        raise InvalidRequest("The path names no model. Use /upstream/<model>/<path at its engine>.")
    return lineup.resolve(unquote(segments[0].decode("latin-1"))), b"/"
