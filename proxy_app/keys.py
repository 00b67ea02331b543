"""Who a client is, and what it may do: looked up in memory, once a request.

The ring of valid keys is read again whenever the configuration or an account changes (see
`serving`), which is within a second after a key was revoked, in whatever process.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from django.conf import settings
from django.utils import timezone

from models_app import api_keys, rights
from models_app.guessing import Guesses, network_of
from models_app.models import ApiKey
from models_app.rights import NOBODY, Rights
from models_app.rights import Scope as Right
from proxy_app.access_errors import TooManyGuesses
from proxy_app.hosts import is_loopback_name
from proxy_app.incoming import Scope
from proxy_app.limits import Account, Limits, Spent
from proxy_app.presented_key import presented_key


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a person is limited to with all their keys, and what they had used of it."""

    limits: Limits
    spent: tuple[Spent, ...] = ()
    """Tokens of this day and this month."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request, resolved once and handed along with it."""

    name: str = ""
    """For people: the key's name. Empty: nobody in particular."""
    key_id: int | None = None
    """The key's row; None without a key."""
    rights: Rights = NOBODY
    limits: Limits | None = None
    """None: as much as it likes."""
    spent: tuple[Spent, ...] = ()
    """Tokens of this day and this month, as they were when the key was read."""
    own: Allowance | None = None
    """Of the key's person, or of who signed in; None: as much as they like."""
    shares_place: bool = False
    """Whether its turn is its person's. Who makes keys for themselves would else have as many."""
    accounts: tuple[Account, ...] | None = field(default=None, init=False, compare=False)
    """What its requests count against, if that is no person's: `LimitBook` keeps it here.

    With thousands of keys each table that is looked into costs more than all that is done with it.
    """

    @property
    def share(self) -> str:
        """Whose share of the engines a request counts against."""
        if self.key_id is not None and not self.shares_place:
            return f"key {self.key_id}"
        return f"person {self.rights.person_id}" if self.rights.person_id else ""


STRANGER = Caller()
"""Nobody that is known here."""

LOCAL = Caller(rights=rights.LOCAL)
"""Whoever sits at this machine, while nobody has an account."""

FREE_GUESSES: Final = 20
"""Wrong keys that an address may send before it has to wait: clients that were set up wrongly
repeat themselves, too."""

NOTED_EVERY: Final = 60.0
"""Seconds between two notes of a key's use, which is shown to the minute."""

_FORWARDING = frozenset(
    (
        *(b"forwarded", b"via", b"x-real-ip", b"x-client-ip", b"x-cluster-client-ip"),
        *(b"cf-connecting-ip", b"true-client-ip", b"fastly-client-ip", b"client-ip"),
        *(b"x-original-forwarded-for", b"x-envoy-external-address", b"x-original-host"),
    )
)
"""Which proxies add, besides those that begin with `x-forwarded-`."""


@dataclass(frozen=True, slots=True)
class Key:
    """A valid key. `expires_at` is in seconds since 1970; None never."""

    digest: bytes
    caller: Caller
    expires_at: float | None = None
    guessable: bool = False
    """Whether a person chose it."""


@dataclass(frozen=True, slots=True)
class KeyRing:
    """All valid keys, and whether anybody may come without."""

    required: bool = False
    """Whether `requireApiKey` is on."""
    administered: bool = False
    """Whether an administrator could sign in."""
    keys: Mapping[bytes, Key] = field(default_factory=dict)
    """By digest."""

    @classmethod
    def of(cls, required: bool, keys: Iterable[Key], administered: bool = False) -> KeyRing:
        return cls(required, administered, {key.digest: key for key in keys})

    @property
    def single_user(self) -> bool:
        """Whether whoever sits at this machine needs neither account nor key."""
        return not (self.required or self.administered)


class Keys:
    """The ring in use, and which of its keys were used lately."""

    def __init__(self) -> None:
        self.ring: KeyRing | None = None
        """None until something keeps it fresh; then whoever asks reads the database."""
        self.open_at_home = True
        """Whether sitting at this machine may be enough. Not where others reach the port: some
        proxies say nothing of themselves."""
        self.guesses = Guesses(FREE_GUESSES)
        self._used: set[int] = set()
        self._taken: dict[int, float] = {}
        self._mac = api_keys.digester()
        self._secret = secrets.token_bytes(32)
        self._found_in: Mapping[bytes, Key] = {}
        self._found: dict[bytes, Key] = {}
        """Keys of these that were found before, by a quick digest under this process's secret."""
        self._digests: dict[bytes, bytes] = {}
        """Of keys that were found in earlier rings, by the same."""

    def caller_of(self, scope: Scope, ring: KeyRing, *, from_query: bool = False) -> Caller:
        """Who sent this request, as far as the request itself tells: a session is not asked for.

        A key that is unknown is no harm by itself: many clients send some text.
        """
        presented = presented_key(scope, from_query=from_query)
        if presented:
            key = self._find(presented, ring.keys)
            if key is not None and (not key.guessable or self._may_guess(scope)):
                self._note_use(key)
                return key.caller
        if settings.CLARACORE_INSECURE:
            return LOCAL
        if ring.single_user and self.open_at_home and is_local(scope):
            return LOCAL
        if presented:
            self._note_guess(scope)
        return STRANGER

    def known(self, scope: Scope) -> Caller | None:
        """Who sent this request, of whom there is no question; None for all others.

        Nothing is noted of those: somebody will ask `caller_of` about them. Nor is a key's use:
        what is asked with it is written down when it ends.
        """
        ring = self.ring
        if ring is None:
            return None
        key = self._find(presented, ring.keys) if (presented := presented_key(scope)) else None
        if key is not None:
            return None if key.guessable else key.caller
        if settings.CLARACORE_INSECURE:
            return LOCAL
        return LOCAL if ring.single_user and self.open_at_home and is_local(scope) else None

    def _may_guess(self, scope: Scope) -> bool:
        address = _address(scope)
        if address and (wait := self.guesses.wait(address, time.monotonic())):
            raise TooManyGuesses(wait)
        return True

    def _note_guess(self, scope: Scope) -> None:
        """Keys made here cannot be guessed; one that a person chose might be."""
        if self._may_guess(scope) and (address := _address(scope)):
            self.guesses.missed(address, time.monotonic())

    def _find(self, presented: bytes, keys: Mapping[bytes, Key]) -> Key | None:
        if not keys:
            self._found_in, self._found = {}, {}  # Nothing of those that are gone is kept.
            return None
        # What is compared are digests under a secret: how long a mismatch takes tells nothing
        # about a key. The quick one takes a quarter of the time of the one that is kept of keys.
        quick = hashlib.blake2b(presented, digest_size=16, key=self._secret).digest()
        key = self._found.get(quick) if keys is self._found_in else None
        if key is None:
            key = self._find_anew(presented, quick, keys)
            if key is None:
                return None
        if key.expires_at is not None and key.expires_at <= time.time():
            return None
        return key

    def _find_anew(self, presented: bytes, quick: bytes, keys: Mapping[bytes, Key]) -> Key | None:
        if keys is not self._found_in:
            self._digests.update((known, key.digest) for known, key in self._found.items())
            self._found_in, self._found = keys, {}
            if len(self._digests) >= 2 * len(keys):
                self._digests.clear()  # Of keys that are gone; the others are found anew.
        digest = self._digests.get(quick)
        key = keys.get(digest) if digest is not None else self._find_slowly(presented, keys)
        if key is not None:
            self._found[quick] = key
        return key

    def _find_slowly(self, presented: bytes, keys: Mapping[bytes, Key]) -> Key | None:
        mac = self._mac.copy()
        mac.update(presented)
        key = keys.get(mac.digest())
        # The last word has a comparison that takes always as long.
        if key is None or not hmac.compare_digest(key.digest, mac.digest()):
            return None
        return key

    def may_be_shared(self) -> bool:
        """Whether some key could prove that somebody runs this server."""
        keys = self.ring.keys.values() if self.ring is not None else ()
        return any(key.caller.rights.may(Right.ADMIN) for key in keys)

    def grants_admin(self, text: str) -> bool:
        """Whether this is an administrator's key."""
        key = self._find(text.encode(), self.ring.keys) if self.ring is not None else None
        if key is None:
            return False
        self._note_use(key)
        return key.caller.rights.may(Right.ADMIN)

    def _note_use(self, key: Key) -> None:
        if key.caller.key_id is not None:
            self._used.add(key.caller.key_id)

    def note_used(self, key_ids: Iterable[int]) -> None:
        """They were used for what is not in the journal; 0 is none."""
        self._used.update(key_ids)
        self._used.discard(0)

    def leave_to_journal(self, key_ids: Iterable[int]) -> None:
        """The journal has what they were used for, and who reads it notes when (`usage.py`)."""
        if self._used:
            self._used.difference_update(key_ids)

    def take_used(self, now: float) -> set[int]:
        """The keys whose use is to be written down: a minute after the last time at the soonest.

        Thousands of them, every few seconds, would cost a share of what requests do.
        """
        used, self._used = self._used, set()
        soonest = now - NOTED_EVERY
        due = {key for key in used if self._taken.get(key, soonest) <= soonest}
        self._taken.update(dict.fromkeys(due, now))
        self._used |= used - due
        return due


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return network_of(str(client[0])) if client else ""


def is_local(scope: Scope) -> bool:
    """True for a request to a loopback name from this machine, through no proxy."""
    client = scope.get("client")
    if client is None or not is_loopback_name(client[0]):
        return False
    host = b""
    for name, value in scope["headers"]:
        if name == b"host":
            host = value
        elif name in _FORWARDING or name.startswith(b"x-forwarded-"):
            return False
    return is_loopback_name(host.decode("latin-1"))


def note_use(key_ids: Iterable[int]) -> None:
    """Write down that these keys were used about now."""
    ids = list(key_ids)
    if ids:
        ApiKey.objects.filter(pk__in=ids).update(last_used_at=timezone.now())
