"""Secrets of a configuration: what they are, and the marks that stand for them in revisions.

A mark says nothing about its secret but whether it is the same one. The secrets lie in a table of
their own, so that a revision can be gone back to whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, Final, TypeVar

from django.utils.crypto import salted_hmac

from models_app.models import KeptSecret, Revision

T = TypeVar("T")

HIDDEN: Final = "********"

_SECRET_WORDS: Final = frozenset(
    {"key", "keys", "apikey", "apikeys", "token", "secret", "password", "passwd", "passphrase"}
)
_TABLES_OF_NAMES: Final = frozenset(
    {"models", "groups", "folders", "peers", "profiles", "setParamsByID", "set_params_by_id"}
)
"""Mappings whose keys are names that somebody gave: a model may be called token-counter."""
_NOT_SECRET: Final = frozenset({"kept_keys"})
"""Columns of ours that sound like it; what is in them is looked at one by one."""
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+")
_REFERENCE: Final = re.compile(r"\$\{[^}]+\}")
_MARK: Final = re.compile(r"SECRET-[0-9a-f]{16}")
_MARK_DIGITS: Final = 16

_WITHIN: Final = re.compile(
    r"""
      (?: (?<![\w-]) --? [\w-]* (?:key|token|secret|password|hft) (?:[\s\\]+|=)   # --api-key VALUE
        | (?<![\w]) [A-Z0-9_]* (?:KEY|TOKEN|SECRET|PASSWORD) = )             # HF_TOKEN=VALUE
      (?: '(?P<single>[^']+)' | "(?P<double>[^"]+)" | (?P<bare>(?!-)[^\s'"]+) )
    | ://[^/\s:@]*:(?P<password>[^@/\s]+)@                                   # http://me:VALUE@host
    """,
    re.VERBOSE,
)


def is_secret_name(name: str) -> bool:
    """Whether a name says that its value is a secret: apiKey, HF_TOKEN, db-password."""
    return name not in _NOT_SECRET and any(
        word.lower() in _SECRET_WORDS for word in _WORD.findall(name)
    )


def masked(value: T, found: dict[str, str]) -> T:
    """JSON values with marks for their secrets, which are noted in `found` by mark."""

    def hide(secret: str) -> str:
        if not secret or _REFERENCE.fullmatch(secret) or _MARK.fullmatch(secret):
            return secret
        mark = mark_of(secret)
        found[mark] = secret
        return mark

    result: T = _masked(value, hide, "")
    return result


def hidden(value: T) -> T:
    """JSON values with HIDDEN in place of their secrets."""

    def hide(secret: str) -> str:
        return secret if not secret or _REFERENCE.fullmatch(secret) else HIDDEN

    result: T = _masked(value, hide, "")
    return result


def mark_of(secret: str) -> str:
    """What stands for a secret; only this server's key gives it."""
    digits = salted_hmac("claracore kept secret", secret, algorithm="sha256").hexdigest()
    return f"SECRET-{digits[:_MARK_DIGITS]}"


def keep(found: Mapping[str, str]) -> None:
    """Remember secrets by their marks."""
    KeptSecret.objects.bulk_create(
        (KeptSecret(mark=mark, value=secret) for mark, secret in found.items()),
        ignore_conflicts=True,
    )


def unmasked(value: T) -> T:
    """JSON values or a document with its secrets put back; a mark nobody knows stays."""
    secrets: dict[str, str] | None = None

    def show(match: re.Match[str]) -> str:
        nonlocal secrets
        if secrets is None:
            secrets = dict(KeptSecret.objects.values_list("mark", "value"))
        return secrets.get(match[0], match[0])

    result: T = _each_text(value, lambda text: _MARK.sub(show, text))
    return result


def forget_unused() -> None:
    """Drop the secrets that no revision names any more."""
    marks = set(KeptSecret.objects.values_list("mark", flat=True))
    if not marks:
        return
    for yaml, choices in Revision.everywhere.values_list("yaml", "choices").iterator():
        marks.difference_update(_MARK.findall(yaml))
        marks.difference_update(_MARK.findall(str(choices)))
        if not marks:
            return
    KeptSecret.objects.filter(mark__in=marks).delete()


def _masked(value: Any, hide: Callable[[str], str], name: str) -> Any:
    if isinstance(value, Mapping):
        return {
            key: _hidden(part, hide)
            if name not in _TABLES_OF_NAMES and is_secret_name(key)
            else _masked(part, hide, key)
            for key, part in value.items()
        }
    if isinstance(value, list | tuple):
        return [_masked(part, hide, name) for part in value]
    if not isinstance(value, str):
        return value
    if name == "env":
        variable, equals, secret = value.partition("=")
        return variable + equals + (hide(secret) if is_secret_name(variable) else secret)
    return _WITHIN.sub(lambda match: _replaced(match, hide), value)


def _hidden(value: Any, hide: Callable[[str], str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _hidden(part, hide) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_hidden(part, hide) for part in value]
    return hide(value) if isinstance(value, str) else value


def _replaced(match: re.Match[str], hide: Callable[[str], str]) -> str:
    kind = match.lastgroup or "bare"
    start, end = match.start(kind) - match.start(), match.end(kind) - match.start()
    return match[0][:start] + hide(match[kind]) + match[0][end:]


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _each_text(part, change) for key, part in value.items()}
    if isinstance(value, tuple):
        return tuple(_each_text(part, change) for part in value)
    if isinstance(value, list):
        return [_each_text(part, change) for part in value]
    if is_dataclass(value) and not isinstance(value, type):
        parts = {field.name: getattr(value, field.name) for field in fields(value)}
        return replace(value, **{name: _each_text(part, change) for name, part in parts.items()})
    return value
