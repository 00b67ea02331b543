"""Why somebody is turned away: strangers' requests, missing keys and rights, limits reached."""

from __future__ import annotations

import math

from models_app import database_away, rights
from models_app.rights import Scope
from proxy_app.errors import GatewayError
from proxy_app.limits import Refusal


class CallerUnknown(GatewayError):
    """Who calls stands in the database, which is away."""

    status = 503
    code = "database_away"

    def __init__(self) -> None:
        super().__init__(
            "The database does not answer, so nobody can tell who is signed in. Try again soon, "
            "or send an API key: those are known without it.",
            retry_after=database_away.RETRY_SECONDS,
        )


class UnknownHost(GatewayError):
    """The request asks for a host name that is not this server's."""

    status = 403
    code = "unknown_host"
    type = "invalid_request_error"

    def __init__(self, host: str) -> None:
        super().__init__(
            f"This server does not answer to the name {host!r}. Use http://localhost, or add the "
            "name to CLARACORE_ALLOWED_HOSTS."
        )


class ForeignPage(GatewayError):
    """A browser says that a page of another site sent the request."""

    status = 403
    code = "foreign_page"
    type = "invalid_request_error"

    def __init__(self, origin: str = "") -> None:
        """`origin` is the site as the browser named it, empty when it did not."""
        listed = f'"{origin}"' if origin else 'its origin, such as "https://chat.example",'
        super().__init__(
            f"A page of another site sent this. Add {listed} to the allowed origins in the "
            "settings (/admin/models_app/serversettings/) if its pages may use the API."
        )


class LooksLikeForm(GatewayError):
    """A form that nobody vouches for: any page may post one, and some browsers do not say whose."""

    status = 415
    code = "form_without_origin"
    type = "invalid_request_error"

    def __init__(self) -> None:
        super().__init__(
            "Any web page can post a form or plain text. Send JSON with Content-Type: "
            "application/json, or a key in Authorization (any text, while none is required)."
        )


class GetChangesNothing(GatewayError):
    """A read that would change something, and that any page's image or link may have sent."""

    status = 403
    code = "get_changes_nothing"
    type = "invalid_request_error"

    def __init__(self, instead: str) -> None:
        super().__init__(
            f"A GET changes nothing unless it brings a key or comes from this server's own pages. "
            f"{instead} Or send a key in Authorization (any text, while none is required)."
        )


class TwoStories(GatewayError):
    """A named proxy says two things of whom it speaks for."""

    status = 400
    code = "two_stories"
    type = "invalid_request_error"

    def __init__(self) -> None:
        super().__init__(
            "Forwarded and X-Forwarded-For name different clients. Have the reverse proxy remove "
            "the one that it does not write itself."
        )


class KeyRequired(GatewayError):
    """The request needs an API key and brought none that is valid."""

    status = 401
    code = "invalid_api_key"
    type = "invalid_request_error"

    def __init__(self) -> None:
        super().__init__(
            "API key required or invalid",
            details="Send a valid key as 'Authorization: Bearer <key>' or 'X-API-Key: <key>'.",
        )

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        return [(b"www-authenticate", b"Bearer")]


class TooManyGuesses(GatewayError):
    """Wrong keys came from this address again and again."""

    status = 429
    code = "too_many_wrong_keys"
    type = "rate_limit_error"

    def __init__(self, retry_after: float) -> None:
        super().__init__(
            f"Too many wrong API keys came from this address. Try again in "
            f"{math.ceil(retry_after)} s with a valid one.",
            retry_after=retry_after,
        )


class NotAllowed(GatewayError):
    """Whoever asks is known, and lacks the right that this needs."""

    status = 403
    code = "not_allowed"
    type = "invalid_request_error"

    def __init__(self, needed: Scope) -> None:
        super().__init__(rights.lacking(needed))
        self.needed = needed


class OnlyForAllModels(GatewayError):
    """Whoever asks looks after some models only, and this concerns others as well."""

    status = 403
    code = "limited_to_models"
    type = "invalid_request_error"

    def __init__(self) -> None:
        super().__init__(
            "You are limited to some models, and this concerns others as well. Use a key or an "
            "account without allowed models and groups, or ask an administrator to do it."
        )


class LimitReached(GatewayError):
    """A key or its person has used up what they may; the client should come back later."""

    status = 429
    code = "rate_limit_exceeded"
    type = "rate_limit_error"

    def __init__(self, refusal: Refusal, headers: list[tuple[bytes, bytes]]) -> None:
        """`headers` tell how it stands."""
        reached = "might be passed by requests under way" if refusal.is_pending else "is reached"
        super().__init__(
            f"The limit of {refusal.limit} {refusal.what} {reached}. Try again in "
            f"{math.ceil(refusal.retry_after)} s, or ask an administrator for a higher limit.",
            retry_after=refusal.retry_after,
        )
        self._standing = headers

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        return [*super().headers, *self._standing]


class ModelNotAllowed(GatewayError):
    """The key, or its person, is limited to other models."""

    status = 403
    code = "model_not_allowed"
    type = "invalid_request_error"

    def __init__(self, model: str) -> None:
        """`model` as it was asked for; empty where that is not known: then it is not named."""
        which = f"the model '{model}'" if model else "that model"
        super().__init__(
            f"You may not use {which} here. GET /v1/models lists those you may; an "
            "administrator can allow you others.",
            param="model",
        )
        self.model = model
