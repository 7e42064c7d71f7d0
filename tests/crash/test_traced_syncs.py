"""What is synced between a request and its acknowledgement, as the kernel sees it.

Two commits for a request that is allowed, one for a refusal, none that a stranger could buy; and whatever was
written to the log is synced before anybody is told. SIGKILL can't tell whether a sync is missing; a trace can.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from cigate.signing import KeyId, Signer
from tests.crash.tracing import STARTS, SYNCS, Call, calls, need_strace, traced
from tests.processes.gateway_folder import AUDIENCE, SERVE, Driver, Folder, request

NAMES = (*SYNCS, *STARTS, "read", "write", "pwrite64", "sendto", "openat")


def _stranger(folder: Folder, name: str) -> bytes:
    return Signer.generate(key_id=KeyId(name), audience=AUDIENCE).sign(request("free"))


def _altered(folder: Folder) -> bytes:
    return folder.signed("free").replace(b"agent-1234", b"agent-1235")


def _again(folder: Folder) -> bytes:
    return (folder.path / "seen").read_bytes()


def _once(folder: Folder) -> bytes:
    (folder.path / "seen").write_bytes(signed := folder.signed("free"))
    return signed


def _elsewhere(folder: Folder) -> bytes:
    key = folder.path / "agent.key"
    return Signer.from_pem(key, key_id=KeyId("agent"), audience="elsewhere").sign(request("free"))


def _answer(folder: Folder, verdict: str) -> bytes:
    with folder.gateway() as opened:
        ticket = opened.status((folder.path / "ticket").read_text()).ticket  # type: ignore[union-attr]  # a ticket's id
    bob = folder.signer("bob")
    return bob.approve(ticket) if verdict == "approve" else bob.reject(ticket)


@frozen
class Row:
    """One request and what it may cost.

    Args:
        make: the bytes.
        commits: how many durable commits, which is how many syncs.
        code: the outcome's, so that a row is what it says it is.
    """

    make: Callable[[Folder], bytes]
    commits: int
    code: str
    verb: str = "submit"


def _asks(action: str) -> Callable[[Folder], bytes]:
    return lambda folder: folder.signed(action)


TABLE: Mapping[str, Row] = {
    "allowed, sandboxed, with a credential": Row(_asks("test"), 2, "run.succeeded"),
    "allowed, without a sandbox": Row(_once, 2, "run.succeeded"),
    "allowed, and the run fails": Row(_asks("failing"), 2, "run.failed"),
    "allowed, and it can't be started": Row(_asks("unstartable"), 2, "run.stopped"),
    "denied by the policy": Row(_asks("forbidden"), 1, "policy.denied"),
    "denied, there is no such action": Row(_asks("nothing"), 1, "action.unknown"),
    "allowed by a throttle": Row(_asks("throttled"), 2, "run.succeeded"),
    "throttled": Row(_asks("throttled"), 1, "throttle.empty"),
    "held": Row(_asks("held"), 1, "approval.required"),
    "held, joining the pending one": Row(_asks("held"), 1, "approval.required"),
    "approved: the verdict, then as allowed": Row(
        lambda folder: _answer(folder, "approve"), 3, "run.succeeded", "approve"
    ),
    "held again": Row(_asks("held"), 1, "approval.required"),
    "rejected": Row(lambda folder: _answer(folder, "reject"), 1, "approval.rejected", "reject"),
    "only evaluated": Row(_asks("test"), 0, "policy.allowed", "evaluate"),
    "replayed": Row(_again, 0, "attestation.replayed"),
    "forged": Row(lambda folder: _stranger(folder, "agent"), 0, "attestation.refused"),
    "of an unknown key": Row(lambda folder: _stranger(folder, "nobody"), 0, "attestation.refused"),
    "altered outside of the signature": Row(_altered, 0, "attestation.mismatch"),
    "for somebody else": Row(_elsewhere, 0, "attestation.audience"),
    "too deep to be read": Row(lambda _: b"[" * 1000, 0, "request.too-deep"),
    "an approval that nobody signed": Row(
        lambda folder: _stranger(folder, "bob"), 0, "attestation.refused", "approve"
    ),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    need_strace()
    return Folder.make(tmp_path_factory.mktemp("traced") / "gateway")


@pytest.fixture(scope="module")
def served(base: Folder, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, tuple[Any, list[Call]]]:
    """Every row, by one process that serves: what it answered, and its calls from the request to the answer."""
    folder = base.copy(tmp_path_factory.mktemp("served") / "gateway")
    log = folder.path / "trace"
    answers = {}
    command = traced(folder.driven(SERVE), log, NAMES)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        driver = Driver(running)
        rows = {"a log is begun": Row(_asks("throttled"), 4, ""), "a token": Row(_asks("throttled"), 2, "")}
        for name, row in {**rows, **TABLE}.items():
            file = folder.path / "request"
            file.write_bytes(row.make(folder))
            answers[name] = driver.ask(f"{row.verb} {file}")
            if '"ticket"' in answers[name]:
                (folder.path / "ticket").write_text(json.loads(answers[name])["ticket"])
        driver.say("end")
        assert running.wait() == 0
    spans = list(_spans(calls(log)))
    assert len(spans) == len(answers)
    return {name: (answer, span) for (name, answer), span in zip(answers.items(), spans, strict=True)}


def _spans(found: Sequence[Call]) -> Iterator[list[Call]]:
    """The calls between each request and its answer."""
    span: list[Call] = []
    for call in found:
        if call.name == "read" and call.rest.startswith("0<"):
            span = []
        elif call.name == "write" and call.rest.startswith("1<"):
            yield span
            span = []
        else:
            span.append(call)


def _syncs(span: Sequence[Call]) -> list[Call]:
    return [call for call in span if call.name in SYNCS]


@pytest.mark.parametrize("name", TABLE)
def test_a_request_costs_as_many_syncs_as_it_has_commits(
    served: Mapping[str, tuple[Any, list[Call]]], name: str
) -> None:
    answer, span = served[name]
    said = answer if TABLE[name].verb == "evaluate" else json.loads(answer)["code"]
    assert said == TABLE[name].code
    assert len(_syncs(span)) == TABLE[name].commits, _syncs(span)


@pytest.mark.parametrize("name", TABLE)
def test_what_was_written_is_synced_before_anybody_is_told(
    served: Mapping[str, tuple[Any, list[Call]]], name: str
) -> None:
    unsynced = False
    for call in served[name][1]:
        if call.name == "pwrite64" and "state.db-wal>" in call.rest:
            unsynced = True
        if call.name in SYNCS and "state.db-wal>" in call.rest:
            unsynced = False
    assert not unsynced
    written = [call for call in served[name][1] if call.name == "pwrite64" and "state.db-wal>" in call.rest]
    assert bool(written) == bool(TABLE[name].commits)


@pytest.mark.parametrize("name", ["allowed, sandboxed, with a credential", "allowed, without a sandbox"])
def test_an_intent_is_durable_before_anything_is_started_or_handed_over(
    served: Mapping[str, tuple[Any, list[Call]]], name: str
) -> None:
    span = served[name][1]
    first, last = (span.index(call) for call in _syncs(span))
    effects = [at for at, call in enumerate(span) if call.name in ("sendto", "clone", "fork", "vfork")]
    assert len(effects) >= 3, "the job's process, its credential, and its line to begin"
    assert first < min(effects)
    assert max(effects) < last


def test_nothing_is_opened_so_that_its_writes_would_sync_unseen(
    served: Mapping[str, tuple[Any, list[Call]]],
) -> None:
    opened = [call.rest for _, span in served.values() for call in span if call.name == "openat"]
    assert any("state.db.anchor" in rest for rest in opened)
    assert not [rest for rest in opened if "SYNC" in rest or "O_DIRECT|" in rest]


ONE_SHOT = {"allowed": ("test", 2), "denied": ("forbidden", 1), "held": ("held", 1)}


@pytest.mark.parametrize("beside", [True, False], ids=["beside a running gateway", "alone"])
@pytest.mark.parametrize("name", ONE_SHOT)
def test_the_command_line_pays_for_its_commits_and_for_the_beginning_of_a_log(
    base: Folder, tmp_path: Path, name: str, beside: bool
) -> None:
    """A process's first commit makes the log's name durable; where nobody has the store open, its header too."""
    folder = base.copy(tmp_path / "gateway")
    action, commits = ONE_SHOT[name]
    with _beside(folder, beside):
        before, _ = _one_shot(folder, folder.signed_file(action))
    syncs = [call.rest for call in _syncs(before)]
    log, name_of_log = "/state.db-wal>", f"<{folder.path}>"
    assert [rest for rest in syncs if log not in rest and name_of_log not in rest] == []
    assert sum(name_of_log in rest for rest in syncs) == 1
    assert sum(log in rest for rest in syncs) == commits + (0 if beside else 1)


@pytest.mark.parametrize("beside", [True, False], ids=["beside a running gateway", "alone"])
def test_a_stranger_at_the_command_line_syncs_nothing_from_beginning_to_end(
    base: Folder, tmp_path: Path, beside: bool
) -> None:
    folder = base.copy(tmp_path / "gateway")
    file = tmp_path / "forged"
    file.write_bytes(_stranger(folder, "agent"))
    with _beside(folder, beside):
        before, after = _one_shot(folder, str(file))
    assert _syncs([*before, *after]) == []


@contextmanager
def _beside(folder: Folder, running: bool) -> Iterator[None]:
    """A gateway that runs in another process and has written, or none."""
    if not running:
        yield
        return
    with folder.driver(SERVE) as other:
        assert "run.succeeded" in other.ask(f"submit {folder.signed_file('free')}")
        yield


def _one_shot(folder: Folder, file: str) -> tuple[list[Call], list[Call]]:
    """The calls of one `cigate submit`: until it has printed the outcome, and after."""
    log = folder.path / "trace"
    subprocess.run(traced(folder.command("submit", file), log, NAMES), capture_output=True, check=False)
    found = calls(log)
    told = next(at for at, call in enumerate(found) if call.name == "write" and call.rest.startswith("1<"))
    return found[:told], found[told:]
