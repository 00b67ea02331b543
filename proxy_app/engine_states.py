"""The states of an engine and every move between them."""

from __future__ import annotations

from enum import StrEnum


class EngineState(StrEnum):
    """Where an engine is; the values are what clients read."""

    STOPPED = "stopped"
    """Nothing of it is alive."""
    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"


class EngineEvent(StrEnum):
    """What makes an engine move."""

    START = "start"
    HEALTHY = "healthy"
    ADOPT = "adopt"
    """It was started by an earlier server and is ready."""
    STOP = "stop"
    EXITED = "exited"
    """The process ended by itself; its children may still live."""
    GONE = "gone"
    """Nothing of it is alive any more. While starting: and it did not come up."""


ENGINE_TRANSITIONS: dict[tuple[EngineState, EngineEvent], EngineState] = {
    (EngineState.STOPPED, EngineEvent.START): EngineState.STARTING,
    (EngineState.STOPPED, EngineEvent.ADOPT): EngineState.READY,
    (EngineState.STARTING, EngineEvent.HEALTHY): EngineState.READY,
    (EngineState.STARTING, EngineEvent.STOP): EngineState.STOPPING,
    (EngineState.STARTING, EngineEvent.GONE): EngineState.STOPPED,
    (EngineState.READY, EngineEvent.STOP): EngineState.STOPPING,
    (EngineState.READY, EngineEvent.EXITED): EngineState.STOPPING,
    (EngineState.STOPPING, EngineEvent.GONE): EngineState.STOPPED,
}


class NoSuchTransition(Exception):
    """An engine cannot move like that; somebody acted on a state that had passed."""

    def __init__(self, state: EngineState, event: EngineEvent) -> None:
        super().__init__(f"an engine that is {state} has no move for '{event}'")
        self.state = state
        self.event = event


def next_state(state: EngineState, event: EngineEvent) -> EngineState:
    """Where `event` leads. Raises NoSuchTransition."""
    try:
        return ENGINE_TRANSITIONS[state, event]
    except KeyError:
        raise NoSuchTransition(state, event) from None
