"""Downloads through a hub that cuts, corrupts, stalls and lies at random.

    python -m tests.campaigns.download_faults [COUNT] [SEED]

Every file comes byte-exact or fails for the reason that was put in its way; whatever a scan could
see meanwhile is whole; nothing is left beside the files.
"""

from __future__ import annotations

import hashlib
import os
import random
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from downloads_app import remote, stage
from downloads_app.transfer import Order, Transfer
from downloads_app.trouble import Kind, Trouble
from tests.hub import Asked, Fault, Hub, running_hub

PIECE = 64 * 1024
AT_ONCE = 8
STALL_SECONDS = 1.0
PATIENCE = 0.01

LASTING = {
    Kind.NOT_FOUND: Fault("status", -1, status=404, at="hub", probe=True),
    Kind.SIGN_IN: Fault("status", -1, status=401, at="hub", probe=True),
    Kind.FORBIDDEN: Fault("status", -1, status=403, at="hub", probe=True),
    Kind.SERVER: Fault("status", -1, status=503),
    Kind.DAMAGED: Fault("corrupt", -1, after=0),
}
PASSING = ("cut", "cut", "corrupt", "stall", "status", "no-range-416", "wrong-range", "no-ranges")


@dataclass
class Trial:
    """One file, what is put in its way, and how it must end: None is well."""

    name: str
    data: bytes
    faults: list[Fault] = field(default_factory=list)
    reason: Kind | None = None


@dataclass
class Outcome:
    ended: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    """Everything that should not have been."""
    looks: int = 0


def plan(number: int, chance: random.Random) -> Trial:
    """A trial at random: one in six cannot end well, two in three meet passing faults."""
    trial = Trial(f"{number:04d}.gguf", chance.randbytes(chance.randint(1, 12 * PIECE)))
    dice = chance.random()
    if dice < 1 / 6:
        trial.reason = chance.choice(list(LASTING))
        lasting = LASTING[trial.reason]
        fault = Fault(lasting.kind, -1, 0, lasting.status, at=lasting.at, probe=lasting.probe)
        trial.faults = [fault]
    elif dice < 5 / 6:
        trial.faults = [_passing(chance, len(trial.data)) for _ in range(chance.randint(1, 4))]
        corrupt = [fault for fault in trial.faults if fault.kind == "corrupt"]
        for fault in corrupt[2:]:
            fault.times = 0
    if chance.random() < 0.15 and trial.reason is None:
        kind = chance.choice(["no-ranges", "no-length"])
        trial.faults.append(Fault(kind, -1, probe=True))
    return trial


def _passing(chance: random.Random, size: int) -> Fault:
    kind = chance.choice(PASSING)
    status = chance.choice([500, 502, 503, 429, 408])
    return Fault(kind, 1, chance.randrange(min(size, 2 * PIECE)), status)


def run(count: int, seed: int, folder: Path) -> Outcome:
    """`count` trials, `AT_ONCE` at a time, below `folder`."""
    chance = random.Random(seed)
    trials = {trial.name: trial for trial in (plan(number, chance) for number in range(count))}
    outcome = Outcome()
    done = threading.Event()
    before, remote.STALL_SECONDS = remote.STALL_SECONDS, STALL_SECONDS
    try:
        with running_hub() as hub:
            for trial in trials.values():
                hub.add(f"owner/{trial.name}", {trial.name: trial.data})
            hub.choose = _chooser(trials)
            watcher = threading.Thread(target=_watch, args=(folder, trials, outcome, done))
            watcher.start()
            try:
                with ThreadPoolExecutor(AT_ONCE) as pool:
                    list(pool.map(lambda one: _try(hub, one, folder, outcome), trials.values()))
            finally:
                done.set()
                watcher.join()
    finally:
        remote.STALL_SECONDS = before
    left = {path.name for path in folder.rglob("*") if path.is_file()} - set(trials)
    outcome.wrong += [f"{name} was left" for name in sorted(left)]
    return outcome


def _chooser(trials: dict[str, Trial]) -> Callable[[Asked], Fault | None]:
    lock = threading.Lock()

    def choose(asked: Asked) -> Fault | None:
        name = asked.path.partition("?")[0].rpartition("/")[2]
        with lock:
            for fault in trials[name].faults:
                if fault.times and fault.at == asked.at and (fault.probe or not asked.is_probe):
                    fault.times -= fault.times > 0
                    return fault
        return None

    return choose


def _try(hub: Hub, trial: Trial, folder: Path, outcome: Outcome) -> None:
    target = folder / trial.name
    order = Order(
        url=hub.file_url(f"owner/{trial.name}", trial.name),
        target=target,
        key=trial.name,
        connections=3,
        piece=PIECE,
        patience=PATIENCE,
    )
    ended: Kind | None = None
    try:
        Transfer(order).run()
    except Trouble as trouble:
        ended = trouble.kind
        stage.remove(target, trial.name)  # As cancelling does; a failed one may be resumed.
    outcome.ended[ended.value if ended else "whole"] += 1
    if ended != trial.reason:
        kinds = [fault.kind for fault in trial.faults]
        outcome.wrong.append(f"{trial.name} ended as {ended}, not {trial.reason}: {kinds}")
    if (ended is None) != target.exists():
        outcome.wrong.append(f"{trial.name} ended as {ended}, and its file is {target.exists()}")
    elif ended is None and target.read_bytes() != trial.data:
        outcome.wrong.append(f"{trial.name} is not byte-exact")


def _watch(folder: Path, trials: dict[str, Trial], outcome: Outcome, done: threading.Event) -> None:
    """Look at the folder as a scan does: whatever has a model's name must be whole."""
    good: set[str] = set()
    while not done.wait(0.005):
        outcome.looks += 1
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.name.endswith(".gguf")]
        for name in names:
            if name not in good:
                seen = hashlib.sha256((folder / name).read_bytes()).digest()
                if seen != hashlib.sha256(trials[name].data).digest():
                    outcome.wrong.append(f"{name} was seen before it was whole")
                good.add(name)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(10**6)
    with tempfile.TemporaryDirectory(prefix="claracore-faults-") as folder:
        outcome = run(count, seed, Path(folder))
    print(f"seed {seed}: {dict(outcome.ended)}; looked {outcome.looks} times")
    for text in outcome.wrong:
        print(text)
    sys.exit(bool(outcome.wrong))


if __name__ == "__main__":
    main()
