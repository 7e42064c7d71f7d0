"""What holds when many processes and threads work on one state: once, within bounds, and undisturbed."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from cigate.lease import Tag
from tests.processes.gateway_folder import COST, LIMIT, Driver, Folder, decisions, until, words_of

HERE = Path(__file__).parent
SUBMIT, PRELOAD = HERE / "driver_submit.py", HERE / "driver_preload.py"


def at_once(folder: Folder, verb: str, threads: int, files: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    """One process for each list of files, all let go together. Every outcome."""
    with ExitStack() as started:
        drivers = [
            started.enter_context(folder.driver(SUBMIT, verb, str(threads), *given)) for given in files
        ]
        assert {driver.hear() for driver in drivers} == {"ready"}
        for driver in drivers:
            driver.say("go")
        return [outcome for driver in drivers for outcome in json.loads(driver.hear())]


def codes(outcomes: Sequence[dict[str, Any]]) -> Counter[str]:
    return Counter(outcome["code"] for outcome in outcomes)


def test_one_envelope_from_16_threads_in_each_of_4_processes_runs_once(folder: Folder) -> None:
    file = folder.signed_file("counted")
    outcomes = at_once(folder, "submit", 16, [[file] * 16] * 4)
    assert codes(outcomes) == {"run.succeeded": 1, "attestation.replayed": 63}
    assert len(folder.ran()) == 1
    assert folder.spent() == (COST, 0)
    assert len(decisions(folder.entries(), "decision")) == 1


def test_8_processes_never_spend_more_than_the_budget(folder: Folder) -> None:
    files = [[folder.signed_file("counted") for _ in range(3)] for _ in range(8)]
    outcomes = at_once(folder, "submit", 3, files)
    assert codes(outcomes) == {"run.succeeded": LIMIT // COST, "budget.exhausted": 24 - LIMIT // COST}
    assert len(folder.ran()) == LIMIT // COST
    assert folder.spent() == (LIMIT, 0)


def test_8_processes_never_redeem_a_ticket_twice(folder: Folder) -> None:
    ticket = folder.cigate("submit", folder.signed_file("held")).json["ticket"]
    bob = folder.signer("bob")
    with folder.gateway() as opened:
        asked = opened.status(ticket)
    files = []
    for at in range(8):
        file = folder.path / f"approval-{at % 7}"  # two of the processes bring the very same bytes
        file.write_bytes(bob.approve(asked.ticket))  # type: ignore[union-attr]  # it is a ticket
        files.append([str(file)])
    outcomes = at_once(folder, "approve", 1, files)
    assert codes(outcomes)["run.succeeded"] == 1
    assert len(folder.ran()) == 1
    again = folder.cigate("approve", ticket, "--key", str(folder.path / "bob.key"), "--yes")
    assert again.code != 0
    assert len(folder.ran()) == 1


def test_8_processes_are_throttled_as_one(folder: Folder) -> None:
    files = [[folder.signed_file("throttled") for _ in range(2)] for _ in range(8)]
    outcomes = at_once(folder, "submit", 2, files)
    assert codes(outcomes) == {"run.succeeded": 3, "throttle.empty": 13}
    assert len(folder.ran()) == 3


def test_a_second_gateway_that_starts_and_reconciles_never_disturbs_a_run_of_the_first(
    folder: Folder,
) -> None:
    with folder.driver(SUBMIT, "submit", "1", folder.signed_file("gated")) as first:
        assert first.hear() == "ready"
        first.say("go")
        until(folder.ran, "the job has begun")
        [running] = folder.ran()
        for _ in range(3):
            assert folder.cigate("reconcile").json == {"outstanding": []}
        with folder.gateway() as second:
            assert second.health()["running"] == [running]
            assert second.is_live(Tag(running))
            assert second.submit(folder.signed("free")).code == "run.succeeded"
        assert folder.spent() == (0, COST)
        assert decisions(folder.entries(), "outcome") == [folder.ran()[1]]
        Path(f"{folder.runs}.go").touch()
        [outcome] = json.loads(first.hear())
    assert (outcome["code"], outcome["decision_id"]) == ("run.succeeded", running)
    assert folder.spent() == (COST, 0)


def test_a_sandboxed_job_dies_with_its_gateway_and_is_reconciled_by_another(folder: Folder) -> None:
    with folder.driver(SUBMIT, "submit", "1", folder.signed_file("long")) as first:
        assert first.hear() == "ready"
        first.say("go")
        until(lambda: _sleeps(folder), "the job has begun")
        [running] = decisions(folder.entries(), "intent")
        first.process.send_signal(signal.SIGKILL)
        until(lambda: not folder.jobs(), "the job died with its gateway")
    assert folder.spent() == (0, COST), "until somebody comes, nobody knows how it ended"
    with folder.gateway() as other:
        assert other.reconcile() == [], "it was reconciled when the other gateway began"
        assert not other.is_live(Tag(running)), "what it held opens nothing any more"
        assert other.health()["outstanding"] == []
    _is_unknown_and_keeps_its_money(folder, running)


def test_a_job_without_a_sandbox_that_outlives_its_gateway_is_ended_by_who_reconciles(
    folder: Folder,
) -> None:
    with folder.driver(SUBMIT, "submit", "1", folder.signed_file("gated")) as first:
        assert first.hear() == "ready"
        first.say("go")
        until(folder.ran, "the job has begun")
        first.process.send_signal(signal.SIGKILL)
        first.process.wait()
    assert folder.jobs(), "nothing around it ends it"
    assert folder.cigate("reconcile").json == {"outstanding": []}
    assert folder.jobs() == []
    _is_unknown_and_keeps_its_money(folder, folder.ran()[0])


def test_whatever_is_left_of_a_sandbox_can_be_found_by_its_decision(folder: Folder) -> None:
    """One that is killed while it makes its namespaces leaves a process that waits for ever."""
    with folder.gateway() as opened:
        begun = opened.start(folder.signed("long"))
        until(lambda: _sleeps(folder), "the job has begun")
        named = [Path(f"/proc/{process}/environ").read_bytes().split(b"\0") for process in folder.jobs()]
        assert len(named) >= 3, "the walls outside, the walls inside, and the job"
        assert all(f"CIGATE_DECISION_ID={begun.decision_id}".encode() in each for each in named)


def test_a_gateway_that_was_built_before_fork_works_in_its_children_at_once(folder: Folder) -> None:
    files = [folder.signed_file(action) for action in ("long", "counted", "counted", "counted", "counted")]
    with folder.driver(PRELOAD, *files) as parent:
        children = [int(parent.hear().removeprefix("child ")) for _ in range(4)]
        outcomes = dict(_by_process(parent) for _ in range(3))
        assert set(outcomes) == set(children[1:])
        until(lambda: _sleeps(folder), "the first child's job has begun")
        owners = _owners(folder)
        assert len(set(owners.values())) == len(owners) == 4
        [running] = set(owners) - {outcome["decision_id"] for outcome in outcomes.values()}

        assert folder.cigate("reconcile").json == {"outstanding": []}
        assert _sleeps(folder), "its owner lives, so it is left alone"
        os.kill(children[0], signal.SIGKILL)
        until(lambda: not folder.jobs(), "the job died with the child")
        assert folder.cigate("reconcile").json == {"outstanding": []}
        process, outcome = _by_process(parent)
        assert (process, outcome["code"]) == (parent.process.pid, "run.succeeded"), "the parent works as well"
        assert parent.process.wait() == 0
    assert codes(list(outcomes.values())) == {"run.succeeded": 3}
    assert decisions(folder.entries(), "outcome").count(running) == 1
    assert folder.spent() == (5 * COST, 0)
    assert folder.cigate("ledger", "verify").code == 0


def test_a_run_that_was_started_and_left_is_followed_until_its_process_ends(folder: Folder) -> None:
    with folder.gateway() as opened:
        begun = opened.start(folder.signed("gated"))
        until(folder.ran, "the job has begun")
        assert folder.cigate("reconcile").json == {"outstanding": []}
        assert opened.health()["running"] == [begun.decision_id]
        Path(f"{folder.runs}.go").touch()
        until(lambda: not opened.health()["running"], "its end was recorded")
    assert decisions(folder.entries(), "outcome") == [begun.decision_id]


def test_a_gateway_that_closes_ends_what_it_started_before_anybody_could_take_it_for_dead(
    folder: Folder,
) -> None:
    with folder.gateway() as opened:
        begun = opened.start(folder.signed("long"))
        until(lambda: _sleeps(folder), "the job has begun")
    assert folder.jobs() == []
    assert folder.cigate("reconcile").json == {"outstanding": []}
    [outcome] = [entry.public for entry in folder.entries() if entry.kind == "outcome"]
    assert (outcome["decision_id"], outcome["code"]) == (begun.decision_id, "run.stopped")
    assert folder.spent() == (COST, 0)


def _is_unknown_and_keeps_its_money(folder: Folder, decision: str) -> None:
    [outcome] = [entry.public for entry in folder.entries() if entry.kind == "outcome"]
    assert (outcome["decision_id"], outcome["result"], outcome["code"]) == (
        decision,
        "unknown",
        "run.unknown",
    )
    assert outcome["cost"] == {"amount": COST, "currency": "EUR"}
    assert folder.spent() == (COST, 0)


def _sleeps(folder: Folder) -> bool:
    """Whether the job's own command is running, and not only the walls around it."""
    command = [b"/bin/sh", b"-c", b"sleep 50; exit 0", folder.mark.encode(), b""]
    return any(words_of(process) == command for process in folder.jobs())


def _owners(folder: Folder) -> dict[str, str]:
    entries = [entry for entry in folder.entries() if entry.kind == "intent"]
    return {entry.private["decision_id"]: entry.private["owner"] for entry in entries}


def _by_process(driver: Driver) -> tuple[int, dict[str, Any]]:
    process, _, outcome = driver.hear().partition(" ")
    return int(process), json.loads(outcome)
