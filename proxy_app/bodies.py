"""Request bodies: what the gateway reads of them, and the few ways it changes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from proxy_app.errors import InvalidRequest

LONGEST_NAME = 1024
"""Characters. Comparing a longer one with all names would hold up everybody else."""


class RequestHead(msgspec.Struct):
    """The two fields the gateway needs; everything else of the body is left unread."""

    model: str | int | float | None = None
    stream: bool | None = None


_read_head = msgspec.json.Decoder(RequestHead, strict=False).decode


@dataclass(frozen=True, slots=True)
class Rewrite:
    """How a model's requests are changed on the way to its engine."""

    model_name: str = ""
    """What the engine is told as `model`; empty: what the client said."""
    strip: tuple[str, ...] = ()
    """Fields to drop; dots address nested ones."""

    def __bool__(self) -> bool:
        return bool(self.model_name or self.strip)


def read_head(body: bytes) -> RequestHead:
    """`model` and `stream` of a JSON body. Raises InvalidRequest with what is wrong."""
    try:
        return _read_head(body)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"The request body has a field of the wrong type: {error}.") from None
    except RecursionError:
        raise InvalidRequest("The request body is nested too deeply.") from None
    except msgspec.DecodeError as error:
        raise InvalidRequest(
            f"The request body is not JSON ({error}). "
            "Send a JSON object with Content-Type: application/json."
        ) from None


def model_of(head: RequestHead) -> str:
    """The model's name in a request. Raises InvalidRequest when there is none."""
    if head.model is None or head.model == "":
        raise InvalidRequest(
            "The request names no model. Set the field 'model' to an id from /v1/models.",
            param="model",
        )
    name = str(head.model)
    if len(name) > LONGEST_NAME:
        raise InvalidRequest(
            f"The field 'model' holds {len(name)} characters; no model's name is that long.",
            param="model",
        )
    return name


def rewrite(body: bytes, change: Rewrite) -> bytes:
    """The body with the change applied. It was read as a JSON object before."""
    try:
        document: dict[str, Any] = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"The request body cannot be read: {error}.") from None
    for field in change.strip:
        _drop(document, field.split("."))
    if change.model_name:
        document["model"] = change.model_name
    return msgspec.json.encode(document)


def _drop(document: dict[str, Any], path: list[str]) -> None:
    for key in path[:-1]:
        below = document.get(key)
        if not isinstance(below, dict):
            return
        document = below
    if path != ["model"]:
        document.pop(path[-1], None)
