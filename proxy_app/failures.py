"""What went wrong with models, what their clients are told of it, and how long each rests."""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Iterable
from functools import partial

from proxy_app.backoff import Backoff
from proxy_app.engine_spec import EngineFailure
from proxy_app.errors import GatewayError, ModelBackingOff, ModelFailedToStart
from proxy_app.notices import CRASH, LOAD_FAILED, about

logger = logging.getLogger(__name__)

Failure = Callable[[], GatewayError]
"""Makes the error anew for each request: a raised one keeps its request's body alive."""


class Failures:
    """The newest failure of each model. Times are monotonic seconds."""

    def __init__(self, pauses: tuple[float, ...]) -> None:
        self.backoff = Backoff(pauses)
        self._errors: dict[str, Failure] = {}
        self._problems: dict[str, str] = {}

    def not_started(self, model: str, failure: Failure) -> None:
        """There was not even an engine."""
        self._errors[model] = failure

    def start_failed(self, model: str, failure: EngineFailure, now: float) -> None:
        self._problems[model] = failure.reason
        pause = self.backoff.failed(model, now)
        self._errors[model] = partial(
            ModelFailedToStart,
            model,
            failure.reason,
            failure.log_tail,
            retry_after=pause or None,
        )
        notice = about(LOAD_FAILED, model)
        logger.error("Could not load %s: %s", model, failure.reason, extra=notice)

    def ended(self, model: str, failure: EngineFailure, ready_at: float, now: float) -> None:
        """A ready engine ended by itself."""
        self._problems[model] = failure.reason
        self.backoff.ended(model, ready_at, now)
        notice = about(CRASH, model)
        logger.error("The engine of %s ended: %s", model, failure.reason, extra=notice)

    def refuse_while_resting(self, model: str, now: float) -> None:
        """Raises ModelBackingOff."""
        remaining = self.backoff.remaining(model, now)
        if remaining > 0:
            reason = self._problems.get(model, "its engine ended")
            raise ModelBackingOff(model, reason, self.backoff.failures(model), remaining)

    def starts(self, model: str) -> None:
        """It is tried again; what was wrong is no news any more."""
        self._problems.pop(model, None)

    def forgive(self, model: str) -> None:
        """A person asks for it: as if it had never failed."""
        self._errors.pop(model, None)
        self.backoff.forget((model,))

    def changed(self, models: Container[str], reconfigured: Iterable[str]) -> None:
        """`models` are started in another way now; the count starts anew for `reconfigured`."""
        self._errors = {m: error for m, error in self._errors.items() if m not in models}
        self._problems = {m: text for m, text in self._problems.items() if m not in models}
        self.backoff.forget(reconfigured)

    def __contains__(self, model: str) -> bool:
        return model in self._errors

    def error(self, model: str) -> GatewayError:
        """Why its newest start failed."""
        return self._errors[model]()

    def problem(self, model: str) -> str:
        """For display; empty when there is none."""
        return self._problems.get(model, "")
