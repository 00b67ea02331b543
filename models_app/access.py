"""Which right a view needs: said on the view, asked by the middleware before it runs.

    @needs(Scope.MANAGE)
    class Folders(APIView): ...

Who manages models may be limited to some of them. A view for `Scope.MANAGE` is closed to them
unless it says that it tells of no others and changes none, with `@keeps_within_reach`.

It stands on a view function (outermost), on a class, or on one method of a class, which goes
before its class. A view that says nothing needs `Scope.ADMIN`, so that a forgotten one is closed.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, Final, TypeVar

from django.http import HttpRequest

from models_app.rights import NOBODY, Rights, Scope

T = TypeVar("T", bound=Callable[..., Any])

_ATTRIBUTE: Final = "needed_right"
_WITHIN: Final = "keeps_within_reach"


class Open(Enum):
    """Instead of a scope: anybody may come, with an account or without."""

    ANYBODY = "anybody"


def needs(right: Scope | Open) -> Callable[[T], T]:
    """Say which right a view, a class of views or one of its methods needs."""

    def said(view: T) -> T:
        setattr(view, _ATTRIBUTE, right)
        return view

    return said


def keeps_within_reach(view: T) -> T:
    """Say of a view for `Scope.MANAGE` that it heeds which models its caller may use."""
    setattr(view, _WITHIN, True)
    return view


def is_open_to_limited(view: Callable[..., Any], method: str) -> bool:
    """Whether who is limited to some models may come; `view` and `method` as `needed_by` has them.

    What needs no `Scope.MANAGE`, those who only use models come to as well.
    """
    if needed_by(view, method) is not Scope.MANAGE:
        return True
    made_of = getattr(view, "cls", None) or getattr(view, "view_class", None)
    return any(getattr(one, _WITHIN, False) for one in (view, made_of))


def needed_by(view: Callable[..., Any], method: str) -> Scope | Open:
    """The right that `method` of a view needs; `view` as the URL patterns hold it."""
    told = getattr(view, _ATTRIBUTE, None)
    if told is not None:
        return _checked(told)
    made_of = getattr(view, "cls", None) or getattr(view, "view_class", None)
    verb = "get" if method == "HEAD" else method.lower()
    handler = getattr(made_of, verb, None)
    if made_of is not None and handler is None:
        # It will answer that it does not know the method.
        return Scope.INFERENCE
    return _checked(getattr(handler, _ATTRIBUTE, None) or getattr(made_of, _ATTRIBUTE, Scope.ADMIN))


def rights_of(request: HttpRequest) -> Rights:
    """What a request may be used for, as the middleware found out."""
    rights: Rights = getattr(request, "rights", NOBODY)
    return rights


def _checked(right: Any) -> Scope | Open:
    assert isinstance(right, Scope | Open)
    return right
