"""A halt that has returned is never overtaken: not under load, not from another process, not after a restart."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cigate.pipelines import Run, RunSpec
from cigate.pipelines.local import LocalPipeline
from cigate.stores import LockMode
from cigate.stores.sqlite import SQLiteStore
from tests.processes.gateway_folder import Folder, decisions, until

LOAD = Path(__file__).with_name("driver_load.py")
PROCESSES = 4
AN_INSTANT = timedelta(milliseconds=200)


def test_nothing_begins_in_any_process_once_halt_has_returned_under_load(
    folder: Folder, tmp_path: Path
) -> None:
    effects = tmp_path / "effects"
    with ExitStack() as started:
        drivers = [started.enter_context(folder.driver(LOAD, str(effects))) for _ in range(PROCESSES)]
        assert {driver.hear() for driver in drivers} == {"loaded"}
        halted = folder.cigate("halt", "an exercise under load")
        returned = time.monotonic_ns()
        assert halted.code == 0, halted
        refusals = [int(driver.hear()) for driver in drivers]
    begun = [(kind, int(at)) for kind, at in (line.split() for line in effects.read_text().splitlines())]
    assert {kind for kind, _ in begun} == {"start", "issue", "release"}
    assert len(begun) >= 3 * 2 * PROCESSES, "there was load before"
    assert min(refusals) >= 10, "and after: they went on asking"
    assert [effect for effect in begun if effect[1] > returned] == []

    entries = folder.entries()
    after = entries[[entry.kind for entry in entries].index("halt") :]
    assert decisions(after, "intent") == []
    assert set(decisions(entries, "intent")) == set(decisions(entries, "outcome")), "whatever began has ended"
    assert set(folder.ran()) <= set(decisions(entries, "intent"))
    assert folder.cigate("submit", folder.signed_file("free")).json["code"] == "stop.halt", "over restarts"
    assert folder.cigate("resume", "the exercise is over").code == 0
    assert folder.cigate("submit", folder.signed_file("free")).code == 0


def test_a_halt_of_one_agent_stops_it_and_nobody_else(folder: Folder) -> None:
    assert folder.cigate("halt", "--agent", "another-agent", "it went astray").code == 0
    assert folder.cigate("submit", folder.signed_file("free")).code == 0
    assert folder.cigate("halt", "--agent", "agent-1234", "this one too").code == 0
    assert folder.cigate("submit", folder.signed_file("free")).json["code"] == "stop.halt"


def test_a_halt_ends_what_runs_in_another_process(folder: Folder) -> None:
    with folder.gateway() as running:
        begun = running.start(folder.signed("gated"))
        until(folder.ran, "the job has begun")
        assert folder.cigate("halt", "whatever runs, ends").code == 0
        until(lambda: not running.health()["running"], "its end was recorded")
    [outcome] = [entry.public for entry in folder.entries() if entry.kind == "outcome"]
    assert (outcome["decision_id"], outcome["code"]) == (begun.decision_id, "run.stopped")


@pytest.fixture
def stuck(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A gateway one of whose starts hangs in the pipeline; gives its decision, and lets it go in the end."""
    inside, go = threading.Event(), threading.Event()
    seen: list[str] = []
    start = LocalPipeline.start

    def hanging(pipeline: LocalPipeline, spec: RunSpec) -> Run:
        seen.append(spec.decision_id)
        inside.set()
        assert go.wait(60)
        return start(pipeline, spec)

    monkeypatch.setattr(LocalPipeline, "start", hanging)
    with folder.gateway() as gateway:
        outcomes: list[Any] = []
        thread = threading.Thread(target=lambda: outcomes.append(gateway.submit(folder.signed("free"))))
        thread.start()
        assert inside.wait(60)
        yield seen[0]
        go.set()
        thread.join()
        assert outcomes[0].code == "gate.closed", (
            "a start that came through late is stopped before its secret"
        )
    assert folder.ran() == []


def test_a_halt_names_a_start_that_is_stuck_in_its_pipeline(folder: Folder, stuck: str) -> None:
    with folder.gateway() as other:
        halted = other.halt("one is stuck", drain=AN_INSTANT)
    assert not halted.drained
    assert halted.starters == (stuck,)


def test_the_command_line_halts_with_3_and_names_it_too(
    folder: Folder, stuck: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = SQLiteStore.lock

    def impatient(store: SQLiteStore, name: str, mode: LockMode, *, timeout: timedelta) -> Any:
        return lock(store, name, mode, timeout=min(timeout, AN_INSTANT))

    monkeypatch.setattr(SQLiteStore, "lock", impatient)
    halted = folder.cigate("halt", "one is stuck")
    assert halted.code == 3
    assert stuck in halted.err
    assert folder.cigate("submit", folder.signed_file("free")).json["code"] == "stop.halt", (
        "halted all the same"
    )
