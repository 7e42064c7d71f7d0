"""SIGKILL at each write, sync, start and lock of `cigate submit` and `cigate approve`, from outside.

One plain run is traced to learn what there is to cut at. Then each cut has a folder of its own: the verb is killed
as it asks the kernel for the n-th write (…), and what is left must come to the promises of the design: no entry that
was acknowledged is lost, nothing that was issued or started is left alive, the money is where the ledger says, and
the same bytes never run twice. CIGATE_EVERY_CRASH_POINT=1 cuts at every point, not at an even choice of them.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import pytest

from cigate.ledger import Entry
from tests.crash.tracing import LOCKS, STARTS, SYNCS, WRITES, Call, calls, cut, need_strace, traced
from tests.processes.gateway_folder import COST, Folder, decisions, until

SHARES = 6
MOST = 48
ALWAYS = (*SYNCS, *STARTS, "sendto")
Point = tuple[str, int]


class Scenario:
    """A verb in a folder that is ready for it, and the points of its run.

    Args:
        prepare: puts into a copy of the folder what the verb needs; gives the verb's words.
        action: what is asked for.
        costs: what one run of it costs.
    """

    def __init__(
        self, base: Folder, work: Path, action: str, costs: int, prepare: Callable[[Folder], Sequence[str]]
    ) -> None:
        self.base = base
        self.action = action
        self.costs = costs
        self.prepare = prepare
        self._work = work
        self._copies = 0

    def copy(self) -> Folder:
        self._copies += 1
        return self.base.copy(self._work / f"{self.action}-{self._copies}")

    @cached_property
    def points(self) -> list[Point]:
        """Where one run can be cut, in the order in which it gets there."""
        need_strace()
        folder = self.copy()
        log = folder.path / "trace"
        plain = _ended(traced(folder.command(*self.prepare(folder)), log, (*WRITES, *SYNCS, *STARTS, *LOCKS)))
        assert plain.returncode == 0, plain.stderr
        found = dict.fromkeys((call.name, call.nth) for call in calls(log) if _cuts(call))
        return list(found)

    @property
    def chosen(self) -> list[Point]:
        if os.environ.get("CIGATE_EVERY_CRASH_POINT"):
            return self.points
        kept = [point for point in self.points if point[0] in ALWAYS]
        others = [point for point in self.points if point[0] not in ALWAYS]
        stride = max(1.0, len(others) / max(MOST - len(kept), 1))
        return kept + [others[int(at * stride)] for at in range(int(len(others) / stride))]


def _ended(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """One process, in which nothing shifts the count: neither Python's own writing nor what others left in /tmp."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        os.chmod(scratch, 0o711)  # the user of jobs goes through it
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": scratch}
        return subprocess.run(command, capture_output=True, text=True, env=environment)


def _cuts(call: Call) -> bool:
    """Every write, sync and start of the gateway's, and its locks; of SQLite's locks those that it writes under."""
    if call.name == "execve":  # its own beginning; a job's is between the fork and the call after it
        return False
    return call.name != "fcntl" or "F_OFD_SETLK" in call.rest or "F_SETLK, {l_type=F_WRLCK" in call.rest


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """A gateway that has acknowledged things, and whose checkpoint somebody outside keeps."""
    folder = Folder.make(tmp_path_factory.mktemp("base") / "gateway")
    assert folder.cigate("submit", folder.signed_file("counted")).code == 0
    (folder.path / "checkpoint").write_text(folder.cigate("ledger", "checkpoint").out)
    return folder


def _submits(action: str) -> Callable[[Folder], Sequence[str]]:
    return lambda folder: ("submit", folder.signed_file(action))


def _approves(folder: Folder) -> Sequence[str]:
    ticket = folder.cigate("submit", folder.signed_file("held")).json["ticket"]
    return ("approve", ticket, "--key", str(folder.path / "bob.key"), "--yes")


@pytest.fixture(scope="module")
def sandboxed(base: Folder, tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    return Scenario(base, tmp_path_factory.mktemp("cuts"), "test", COST, _submits("test"))


@pytest.fixture(scope="module")
def counted(base: Folder, tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    return Scenario(base, tmp_path_factory.mktemp("cuts"), "counted", COST, _submits("counted"))


@pytest.fixture(scope="module")
def approved(base: Folder, tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    return Scenario(base, tmp_path_factory.mktemp("cuts"), "held", 0, _approves)


@pytest.mark.parametrize("share", range(SHARES))
def test_a_submission_cut_anywhere_loses_nothing_and_leaves_nothing(sandboxed: Scenario, share: int) -> None:
    for point in sandboxed.chosen[share::SHARES]:
        _cut_and_check(sandboxed, point)


def test_a_job_runs_at_most_once_wherever_its_submission_was_cut(counted: Scenario) -> None:
    """The same without a sandbox, where the job itself leaves a line on the host for each time that it ran."""
    for point in counted.chosen[1::5]:
        folder, mine = _cut_and_check(counted, point)
        assert sum(folder.ran().count(decision) for decision in mine) <= 1, point


def test_an_approval_cut_anywhere_is_redeemed_at_most_once(approved: Scenario) -> None:
    for point in approved.chosen[2::4]:
        folder, mine = _cut_and_check(approved, point)
        assert sum(folder.ran().count(decision) for decision in mine) <= 1, point


def test_what_can_be_cut_at_holds_every_kind_of_step(sandboxed: Scenario) -> None:
    """Or the cuts above would prove less than they say."""
    steps = [name for name, _ in sandboxed.points]
    forks = sum(steps.count(name) for name in ("clone", "clone3", "fork", "vfork"))
    assert forks >= 3, "the job, the thread that starts it and the thread that watches it"
    assert steps.count("sendto") == 2, "the credential, and the line that lets the job begin"
    assert steps.count("fdatasync") + steps.count("fsync") >= 4
    assert steps.count("pwrite64") >= 20
    assert steps.count("fcntl") >= 6, "the locks of the owner and of the gate, taken and given back"
    assert steps.count("flock") >= 2, "the anchor's"


def _cut_and_check(scenario: Scenario, point: Point) -> tuple[Folder, list[str]]:
    """Cut one run there. Gives the folder, and the decisions that the bytes came to, in the end."""
    folder = scenario.copy()
    words = scenario.prepare(folder)
    before = folder.entries()
    killed = _ended(cut(folder.command(*words), *point))
    assert killed.returncode == -signal.SIGKILL, f"{point} was not reached: {killed}"
    reconciled = folder.cigate("reconcile")
    assert (reconciled.code, reconciled.json) == (0, {"outstanding": []}), (point, reconciled)
    until(lambda: not folder.jobs(), f"no job is left of a gateway that was killed at {point}")
    assert folder.cigate("health").json["outstanding"] == [], point
    after = folder.entries()
    assert [entry.leaf().hash for entry in after[: len(before)]] == [e.leaf().hash for e in before], point
    begun, ended = decisions(after[len(before) :], "intent"), _outcomes(after[len(before) :])
    assert len(begun) <= 1, point
    assert list(ended) == begun, f"each intent has one outcome: {point}"
    if killed.stdout.rstrip().endswith("}"):  # acknowledged, if this is whole
        said = json.loads(killed.stdout)
        assert ended[said["decision_id"]]["code"] == said["code"] == "run.succeeded", point
    assert folder.spent() == (COST + scenario.costs * len(begun), 0), "an unknown run keeps what it reserved"

    again = folder.cigate(*words)
    if begun:
        assert again.code != 0, f"the same bytes ran twice: {point}"
        assert words[0] != "submit" or again.json["code"] == "attestation.replayed", (point, again)
    else:
        assert again.json["code"] == "run.succeeded", f"nobody is locked out by a crash: {point} {again}"
    verified = folder.cigate("ledger", "verify", "--checkpoint", str(folder.path / "checkpoint"))
    assert verified.code == 0, (point, verified)
    assert verified.json["anchored"], point
    assert folder.cigate("ledger", "replay").code == 0, point
    mine = decisions(folder.entries()[len(before) :], "intent")
    assert len(mine) <= 1, point
    return folder, mine


def _outcomes(entries: Sequence[Entry]) -> dict[str, dict[str, object]]:
    return {entry.public["decision_id"]: dict(entry.public) for entry in entries if entry.kind == "outcome"}
