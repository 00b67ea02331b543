"""Request bodies: what the gateway reads of them, and the few ways it changes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus

import msgspec

from proxy_app.errors import InvalidRequest
from proxy_app.reservation import Wish, Wording

LONGEST_NAME = 1024
"""Characters. Comparing a longer one with all names would hold up everybody else."""

Fields = dict[str, msgspec.Raw]


class RequestHead(Wish):
    """The fields the gateway needs; everything else of the body is left unread."""

    model: str | int | float | None = None
    stream: bool | None = None


class _AnyHead(Wording):
    """The same of a body whose fields are not of the usual types, which takes a longer look."""

    model: str | int | float | None = None
    stream: bool | None = None


_read_usual = msgspec.json.Decoder(RequestHead).decode
_read_any = msgspec.json.Decoder(_AnyHead, strict=False).decode
_read_fields = msgspec.json.Decoder(Fields).decode


@dataclass(frozen=True, slots=True)
class Rewrite:
    """How a model's requests are changed on the way to its engine."""

    model_name: str = ""
    """What the engine is told as `model`; empty: what the client said."""
    strip: tuple[str, ...] = ()
    """Fields to drop; dots address nested ones."""
    set: Mapping[str, Any] = field(default_factory=dict)
    """Fields every request is given."""
    set_by_id: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Fields requests are given by the id they ask for, over the others."""

    def __bool__(self) -> bool:
        return bool(self.model_name or self.strip or self.set or self.set_by_id)

    def fields_for(self, asked: str) -> Mapping[str, Any]:
        """What a request for the id `asked` is given."""
        special = self.set_by_id.get(asked)
        return {**self.set, **special} if special else self.set

    def changes(self, asked: str) -> bool:
        """Whether a request for the id `asked` is changed at all."""
        return bool(self.model_name or self.strip or self.set or asked in self.set_by_id)


def read_head(body: bytes) -> RequestHead:
    """What the gateway reads of a JSON body. Raises InvalidRequest with what is wrong."""
    try:
        try:
            return _read_usual(body)
        except msgspec.ValidationError:
            head = _read_any(body)
        return RequestHead(**head.meant(), model=head.model, stream=head.stream)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"The request body has a field of the wrong type: {error}.") from None
    except RecursionError:
        raise InvalidRequest("The request body is nested too deeply.") from None
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"The request body is not UTF-8 ({error.reason}).") from None
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
    return checked_name(str(head.model))


def model_of_query(query: bytes) -> str:
    """The model that `?model=` names; empty when it names none."""
    for pair in query.split(b"&"):
        if pair.startswith(b"model="):
            return checked_name(unquote_plus(pair[6:].decode("latin-1")))
    return ""


def checked_name(name: str) -> str:
    """Raises InvalidRequest for a name too long to look for."""
    if len(name) > LONGEST_NAME:
        raise InvalidRequest(
            f"The field 'model' holds {len(name)} characters; no model's name is that long.",
            param="model",
        )
    return name


def rewrite(body: bytes, change: Rewrite, asked: str = "") -> bytes:
    """The body with the change applied for a request that asked for the id `asked`.

    It was read as a JSON object before. What is not changed stays as the client wrote it: a
    number or a text decoded and encoded again could come out as another.
    """
    try:
        fields = _read_fields(body)
        for name in change.strip:
            if name != "model":
                _drop(fields, name.split("."))
        for name, value in change.fields_for(asked).items():
            fields[name] = msgspec.Raw(msgspec.json.encode(value))
        if change.model_name:
            fields["model"] = msgspec.Raw(msgspec.json.encode(change.model_name))
        return msgspec.json.encode(fields)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise InvalidRequest(f"The request body cannot be read: {error}.") from None


def _drop(fields: Fields, path: list[str]) -> None:
    first, *rest = path
    if not rest:
        fields.pop(first, None)
        return
    below = fields.get(first)
    if below is None or not bytes(below).lstrip().startswith(b"{"):
        return
    inner = _read_fields(below)
    _drop(inner, rest)
    fields[first] = msgspec.Raw(msgspec.json.encode(inner))
