"""What a server that finds engines loaded plans with."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from models_app import hardware, needs
from models_app.devices import resources
from models_app.engine_help import EngineDevice
from models_app.hardware.before_engines import with_free_of
from models_app.machine import GIB, Cpu, Gpu, Machine, Ram
from models_app.plans import PlanContext
from models_app.preferences import Preferences
from proxy_app import configuration, kin
from proxy_app.ledger import Entry, Ledger


def machine(*free: int) -> Machine:
    """With cards of one kind, this much of each free, in GiB."""
    return Machine(
        "linux",
        "amd64",
        Cpu("x", 4, 8, 4),
        Ram(64 * GIB, 60 * GIB),
        gpus=tuple(Gpu("NVIDIA A10", "nvidia", 24 * GIB, size * GIB) for size in free),
        devices=tuple(
            EngineDevice(f"CUDA{number}", "NVIDIA A10", 24 * GIB, size * GIB)
            for number, size in enumerate(free)
        ),
    )


def test_free_memory_is_what_it_was_before_our_engines_took_theirs() -> None:
    alone, loaded = machine(23, 22), machine(3, 22)
    assert with_free_of(loaded, alone) == alone
    wishes = Preferences()
    assert resources(with_free_of(loaded, alone), wishes) == resources(alone, wishes)


def test_a_card_that_was_not_there_before_counts_as_it_is_now() -> None:
    seen = with_free_of(machine(3, 21), machine(23))
    assert [gpu.free for gpu in seen.gpus] == [23 * GIB, 21 * GIB]
    assert seen.devices is not None
    assert [device.free for device in seen.devices] == [23 * GIB, 21 * GIB]


def test_so_does_another_card_in_its_place() -> None:
    before = machine(23)
    other = replace(before.gpus[0], total=16 * GIB)
    assert before.devices is not None
    device = replace(before.devices[0], total=16 * GIB)
    now = machine(3)
    assert with_free_of(now, replace(before, gpus=(other,), devices=(device,))) == now


def test_without_an_earlier_look_there_is_nothing_to_go_by() -> None:
    assert with_free_of(machine(3), None) == machine(3)


def test_what_else_is_read_anew_stays_anew() -> None:
    now = replace(machine(3), cpu=Cpu("y", 2, 2, 2), problems=("new",))
    seen = with_free_of(now, machine(23))
    assert (seen.cpu, seen.problems) == (now.cpu, now.problems)


@pytest.mark.django_db
def test_the_budget_after_a_restart_with_engines_loaded_is_the_one_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    readings = iter((machine(23), machine(3), machine(4)))
    monkeypatch.setattr(hardware, "detect", lambda located: next(readings))
    budgets = []
    for engines_run in (False, True, False):
        configuration.look_at_machine(engines_run=engines_run)
        context = PlanContext.load()
        budgets.append(needs.budget(context, needs.gpus(context))["CUDA0"])
    first, adopting, anew = budgets
    assert first == adopting
    assert anew < first


def test_the_ledger_tells_whether_an_engine_of_an_earlier_server_lives(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    assert not ledger.any_lives()
    mine = kin.start_time(os.getpid())
    assert mine is not None
    entry = Entry("qwen", os.getpid(), mine, ("x",), 5801, 0, "token")
    ledger.record(replace(entry, start_time=mine + 1))
    assert not ledger.any_lives()
    ledger.record(entry)
    assert ledger.any_lives()
