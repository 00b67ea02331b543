"""Starts child processes so that they never outlive us: each below a guard of its own.

`guard.py` is the guard's program and tells how the two talk.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import subprocess
from collections import deque
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from models_app.engine_environment import engine_environment
from proxy_app import doors, kin
from proxy_app.guard_channel import Channel, Exit, explain
from proxy_app.guard_program import guard_command, guard_program
from proxy_app.stop_command import StopCommand

logger = logging.getLogger(__name__)

LOG_BYTES = 10 * 1024 * 1024
"""A log file this long becomes the older one; there are never more than two."""

GRACE_SECONDS = 2.0
"""From the first SIGTERM to SIGKILL, half of it to the second SIGTERM. An idle llama-server needs
0.1 s, one whose connections were just cut up to 0.8 s."""

CLOSING_SECONDS = 5.0
"""How much longer than a child's grace its guard may take before it is killed itself."""

REAP_SECONDS = 0.2
"""How often guards that were left to another server are looked at."""


class LaunchFailed(Exception):
    """A program could not be started; the message completes "it could not be started: …"."""


@dataclass(eq=False, slots=True)
class Guard:
    """One guard process, waiting for its order or busy with it."""

    process: subprocess.Popen[bytes] | psutil.Process
    """The latter when an earlier server started it."""
    channel: Channel

    async def wait(self) -> int | None:
        """Its exit status, None if that is another's to know.

        It closes its channel by ending, so no thread is held for long.
        """
        await self.channel.lost.wait()
        return await asyncio.to_thread(self.process.wait)


class GuardedProcess:
    """A child below a guard, from its start until nothing of it is left."""

    def __init__(self, guard: Guard, identity: kin.Identity, stop: StopCommand) -> None:
        self.pid = identity.pid
        self.start_time = identity.start_time
        self.token = identity.token
        self.guard_pid = guard.process.pid
        self._identity = identity
        self._guard = guard
        self._stop = stop
        self._exited = asyncio.Event()
        self._closed = asyncio.Event()
        self._exit = Exit(None, None)

    @property
    def closed(self) -> bool:
        """Whether it and its children are gone; its guard is, or is about to be."""
        return self._closed.is_set()

    async def wait(self) -> Exit:
        """Until it has ended, however. Its children may live a moment longer."""
        await self._exited.wait()
        return self._exit

    async def wait_closed(self) -> None:
        """Until nothing of it is alive."""
        await self._closed.wait()

    def request_stop(self, grace: float = GRACE_SECONDS) -> None:
        """Have it stopped: SIGTERM, again after half of `grace` seconds, SIGKILL after all of it.

        A grace of 0 kills at once. Of several requests the soonest counts.
        """
        self._guard.channel.send({"stop": {"grace": grace}})

    def keep(self, wait: float) -> None:
        """Have it live on for `wait` seconds when this server is suddenly gone; 0: not at all."""
        self._guard.channel.send({"keep": {"wait": wait}})

    def let_go(self) -> None:
        """Leave it to another server, as if this one had ended."""
        self._guard.channel.transport.close()

    async def stop(self, grace: float = GRACE_SECONDS) -> Exit:
        """`request_stop`, then wait until nothing of it is alive."""
        self.request_stop(grace)
        await self._closed.wait()
        return self._exit

    async def follow(self) -> None:
        """Note how it ends, and clear up after a guard that was killed."""
        channel = self._guard.channel
        await channel.ended.wait()
        if channel.exit is not None:
            self._exit = channel.exit
            self._exited.set()
        await channel.over.wait()
        if channel.exit is not None and channel.gone:
            self._closed.set()
            return
        status = await self._guard.wait()
        if channel.exit is None or status not in (0, None):
            logger.warning("The guard of process %d was killed", self.pid)
        if channel.exit is None or status != 0:
            await asyncio.to_thread(kin.end, self._identity, 0)
        if channel.exit is None:
            await asyncio.to_thread(self._stop.run)
        self._exited.set()
        self._closed.set()

    def __repr__(self) -> str:
        state = "closed" if self.closed else "alive"
        return f"<GuardedProcess {self.pid} {state}, guard {self.guard_pid}>"


class GuardPool:
    """Starts children, keeps one guard waiting so that the next start is quick, reaps them all."""

    def __init__(self) -> None:
        self._spares: deque[asyncio.Task[Guard]] = deque()
        self._guards: set[Guard] = set()
        self._live: set[GuardedProcess] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self._left: list[subprocess.Popen[bytes]] = []
        """Guards that were left to another server."""
        self._reaping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Prepare the first guard, so that the first launch is quick as well."""
        await asyncio.to_thread(guard_program)
        self._warm()

    async def launch(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path | None,
        log: Path,
        log_bytes: int = LOG_BYTES,
        grace: float = GRACE_SECONDS,
        stop_argv: Sequence[str] = (),
        folder: Path | None = None,
    ) -> GuardedProcess:
        """Execute a program with exactly this environment, its output appended to `log`.

        `grace` is what it gets, in seconds, when this server is suddenly gone. `stop_argv` is
        executed in place of the first SIGTERM. With a `folder` the child can be kept for another
        server. Raises LaunchFailed.
        """
        token = secrets.token_hex(16)
        order = {
            "argv": list(argv),
            "env": {**env, kin.TOKEN_VARIABLE: token},
            "cwd": None if cwd is None else str(cwd),
            "log": str(log),
            "log_bytes": log_bytes,
            "grace": grace,
            "stop_argv": list(stop_argv),
            "token": token,
        }
        if folder is not None:
            order["folder"] = str(folder)
            with contextlib.suppress(OSError):  # Then it cannot be kept, and ends with us.
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            guard = await self._order(order, token)
        except OSError as error:
            raise LaunchFailed(str(error)) from error
        finally:
            self._warm()
        assert guard.channel.started is not None
        pid = guard.channel.started["pid"]
        assert pid is not None
        since = guard.channel.started["start_time"] or kin.start_time(pid) or 0
        identity = kin.Identity(pid, since, tuple(argv), token)
        return self._child(guard, identity, StopCommand(tuple(stop_argv), dict(env)))

    async def adopt(
        self, identity: kin.Identity, guard_pid: int, folder: Path, stop: StopCommand
    ) -> GuardedProcess | None:
        """Take over a child of an earlier server; None when its guard does not let us in.

        `stop` is what its guard executes to stop it.
        """
        try:
            process = psutil.Process(guard_pid)
            ours = await doors.knock(folder / f"{identity.token}.sock", process)
        except (OSError, psutil.Error):
            return None
        loop = asyncio.get_running_loop()
        _, channel = await loop.create_unix_connection(Channel, sock=ours)
        channel.send({"adopt": {"token": identity.token}})
        try:
            async with asyncio.timeout(CLOSING_SECONDS):
                await channel.answered.wait()
        except TimeoutError:
            channel.transport.abort()
        if channel.started is None or channel.started["pid"] != identity.pid:
            channel.transport.abort()
            return None
        guard = Guard(process, channel)
        self._guards.add(guard)
        self._keep(self._reap(guard), f"guard {guard_pid}")
        return self._child(guard, identity, stop)

    async def let_go(self, pids: frozenset[int]) -> None:
        """Leave these children to another server."""
        leaving = [child for child in self._live if child.pid in pids]
        names = {f"guarded process {child.pid}" for child in leaving}
        names |= {f"guard {child.guard_pid}" for child in leaving}
        followers = [task for task in self._tasks if task.get_name() in names]
        for task in followers:
            task.cancel()
        await asyncio.gather(*followers, return_exceptions=True)
        for child in leaving:
            self._live.discard(child)
            child.let_go()
        theirs = {child.guard_pid for child in leaving}
        guards = {guard for guard in self._guards if guard.process.pid in theirs}
        self._guards -= guards
        self._left += [one.process for one in guards if isinstance(one.process, subprocess.Popen)]
        self._reaping = asyncio.create_task(self._reap_left(), name="reap what was left")

    async def aclose(self, grace: float = GRACE_SECONDS) -> None:
        """End every child and every guard, and wait until they are reaped."""
        self._closing = True
        if self._reaping is not None:
            self._reaping.cancel()
            self._look_at_left()
        for child in self._live:
            child.request_stop(grace)
        await self._dismiss_idle()
        try:
            async with asyncio.timeout(grace + CLOSING_SECONDS):
                await self._all_reaped()
        except TimeoutError:
            self._kill_guards()
            await self._all_reaped()

    async def _reap_left(self) -> None:
        """They are our children still, and whoever waits for their end waits until we reap them."""
        while self._look_at_left():
            await asyncio.sleep(REAP_SECONDS)

    def _look_at_left(self) -> bool:
        self._left = [process for process in self._left if process.poll() is None]
        return bool(self._left)

    async def _dismiss_idle(self) -> None:
        await asyncio.gather(*self._spares, return_exceptions=True)
        self._spares.clear()
        busy = {child.guard_pid for child in self._live}
        for guard in self._guards:
            if guard.process.pid not in busy:
                guard.channel.transport.abort()

    async def _all_reaped(self) -> None:
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _kill_guards(self) -> None:
        for guard in self._guards:
            logger.error("Killing the guard %d, which does not end", guard.process.pid)
            guard.process.kill()

    async def _order(self, order: dict[str, Any], token: str) -> Guard:
        """A guard that has carried out the order. Raises LaunchFailed and OSError."""
        for _ in range(2):
            guard = await self._take()
            guard.channel.send(order)
            try:
                await guard.channel.answered.wait()
            except asyncio.CancelledError:
                guard.channel.transport.abort()  # It ends whatever it has started.
                raise
            if guard.channel.failed is not None:
                raise LaunchFailed(explain(order, **guard.channel.failed))
            if guard.channel.started is not None:
                return guard
            # The guard was killed before it answered; nobody knows whether it came to anything.
            await asyncio.to_thread(kin.end, kin.Identity(0, 0, ("",), token), 0)
        raise LaunchFailed("its guard was killed")

    def _child(self, guard: Guard, identity: kin.Identity, stop: StopCommand) -> GuardedProcess:
        child = GuardedProcess(guard, identity, stop)
        if self._closing:
            child.request_stop()
        self._live.add(child)
        self._keep(self._follow(child), f"guarded process {child.pid}")
        return child

    async def _follow(self, child: GuardedProcess) -> None:
        await child.follow()
        self._live.discard(child)

    async def _take(self) -> Guard:
        """A live guard that has no order yet."""
        while not self._closing:
            self._warm()
            spare = self._spares.popleft()
            try:
                guard = await asyncio.shield(spare)
            except asyncio.CancelledError:
                self._spares.append(spare)
                raise
            except (OSError, LaunchFailed):
                # It failed when nobody needed it; what was short then may be there now.
                guard = await self._spawn()
            if not guard.channel.lost.is_set():
                return guard
        raise LaunchFailed("the server is stopping")

    def _warm(self) -> None:
        if not self._spares and not self._closing:
            spawn = asyncio.get_running_loop().create_task(self._spawn(), name="spare guard")
            self._spares.append(spawn)

    async def _spawn(self) -> Guard:
        ours, theirs = socket.socketpair()
        try:
            guard = await self._connect(ours, theirs.fileno())
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self._guards.add(guard)
        self._keep(self._reap(guard), f"guard {guard.process.pid}")
        if self._closing:
            guard.channel.transport.abort()
        return guard

    async def _connect(self, ours: socket.socket, theirs: int) -> Guard:
        # Not the loop's own way: uvloop forks, which copies the page tables of a server that may
        # be large and held the loop up for 9 to 36 ms. This one uses vfork and takes 0.5 ms. It
        # also closes every other descriptor, as uvloop does not.
        process = subprocess.Popen(
            guard_command(theirs),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=(theirs,),
            start_new_session=True,
            env=engine_environment(os.environ, {}),
        )
        loop = asyncio.get_running_loop()
        _, channel = await loop.create_unix_connection(Channel, sock=ours)
        return Guard(process, channel)

    async def _reap(self, guard: Guard) -> None:
        await guard.wait()
        self._guards.discard(guard)

    def _keep(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            logger.error("The task %r failed", task.get_name(), exc_info=error)
