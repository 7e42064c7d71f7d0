"""A credential reaches the runner and nothing else, whatever fails on its way.

The real broker's token is learnt where the runner (or the broker itself) has it; then everything that a
gateway writes, logs, shows and returns is searched for it, in every spelling that scrubbing knows.
"""

from __future__ import annotations

import base64
import gc
import io
import json
import logging
import traceback
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from types import BuiltinFunctionType, FrameType, FunctionType, ModuleType
from typing import Any
from urllib.parse import quote

import attrs
import pytest
from attrs import evolve

from cigate import effects
from cigate.credentials import DiesAt, Lease, Profile
from cigate.credentials.local import LocalBroker
from cigate.errors import BrokerUncertain, PipelineUnavailable, StoreUnavailable
from cigate.outcome import Outcome
from cigate.pipelines.function import Job
from cigate.secret import Secret
from tests.promises.promise_scene import Stage, stage
from tests.simulators.faults import Faults, FaultyBroker

Plan = Callable[["Canary"], None]


@attrs.define
class Canary:
    """A stage, and what is known of the credential that flows through it."""

    at: Stage
    known: list[str]
    work: Callable[[Job, str], Any]

    @property
    def token(self) -> str:
        return self.known[0]


def _spellings(token: str) -> Iterator[bytes]:
    value = token.encode()
    yield from (value, value[::-1], value.hex().encode(), value.hex().upper().encode())
    yield quote(token, safe="").encode()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before in range(3):
            yield encode(b"\0" * before + value + b"\0\0")[4 : (before + len(value)) * 8 // 6 - 4]
    # any piece of it that is long enough to be used or guessed from
    third = len(token) // 3
    yield from (value[at : at + third] for at in (0, third, 2 * third))


def _found(token: str, where: Mapping[str, bytes]) -> list[str]:
    spellings = list(_spellings(token))
    assert min(map(len, spellings)) >= 12, "spellings so short could be found by chance"
    return sorted(name for name, shown in where.items() if any(each in shown for each in spellings))


def _reachable(start: object) -> Iterator[object]:
    """Every object that can be reached from a value, but through the code of the program itself."""
    code = (ModuleType, type, FrameType, BuiltinFunctionType, logging.Logger)
    todo, seen = [start], set()
    while todo:
        value = todo.pop()
        if id(value) in seen or isinstance(value, code):
            continue
        seen.add(id(value))
        yield value
        if isinstance(value, FunctionType):
            todo += [value.__closure__, value.__defaults__, value.__kwdefaults__]
        else:
            todo += gc.get_referents(value)


def _everywhere(canary: Canary, outcome: Outcome, records: list[logging.LogRecord]) -> dict[str, bytes]:
    gateway, folder = canary.at.bench.gateway, canary.at.bench.folder
    shown: dict[str, Any] = {
        "outcome repr": repr(outcome),
        "outcome JSON": json.dumps(outcome.to_json()),
        "outcome fields": repr(attrs.asdict(outcome, recurse=True)),
        "explanation": outcome.decision.explain(),
        "receipt": outcome.receipt or b"",
        "health": repr(gateway.health()),
    }
    if outcome.decision_id:
        shown["status"] = repr(gateway.status(outcome.decision_id))
    shown["reconcile"] = repr(gateway.reconcile())
    export = io.BytesIO()
    gateway.ledger.export(export)
    shown["ledger export"] = export.getvalue()
    shown |= {f"file {path.name}": path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    shown["reachable from the outcome"] = b"\n".join(
        value if isinstance(value, bytes) else value.encode("utf-8", "replace")
        for value in _reachable(outcome)
        if isinstance(value, str | bytes)
    )
    formatter = logging.Formatter()
    for at, record in enumerate(records):
        shown[f"log {at}: {record.msg}"] = f"{formatter.format(record)} {record.args!r}"
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            told = traceback.TracebackException.from_exception(error, capture_locals=True)
            shown[f"traceback {at}"] = "".join(told.format())
    return {name: value if isinstance(value, bytes) else value.encode() for name, value in shown.items()}


def _told(raises: Callable[[str], Exception]) -> Callable[[Canary], Callable[[], Exception]]:
    return lambda canary: lambda: raises(canary.token)


def _fails(at: str, raises: Callable[[str], Exception] = RuntimeError, **how: Any) -> Plan:
    def plan(canary: Canary) -> None:
        canary.at.faults.plan(at, raises=_told(raises)(canary), **how)

    return plan


def _works(work: Callable[[Job, str], Any]) -> Plan:
    def plan(canary: Canary) -> None:
        canary.work = work

    return plan


def _both(*plans: Plan) -> Plan:
    return lambda canary: [plan(canary) for plan in plans] and None


def _raising(job: Job, token: str) -> None:
    secret = token  # a local of the frame that raises
    raise ValueError(secret)


def _changed(**fields: Any) -> Plan:
    return lambda canary: canary.at.faults.plan("broker.issue", gives=lambda lease: evolve(lease, **fields))


def _dies(canary: Canary) -> None:
    dies = canary.at.bench.clock() + timedelta(minutes=10)
    canary.at.faults.plan("broker.revoke", gives=lambda _: DiesAt(dies), instead=True)


def _typed(token: str) -> PipelineUnavailable:
    return PipelineUnavailable("pipeline.gone", f"the runner did not take {token}")


def _uncertain(token: str) -> BrokerUncertain:
    return BrokerUncertain("broker.timeout", "no answer")


def _unavailable(token: str) -> StoreUnavailable:
    return StoreUnavailable("store.unavailable", "no answer")


def _halts(canary: Canary) -> None:
    def work(job: Job, token: str) -> str:
        canary.at.bench.gateway.halt("a drill", scope="agent:agent-1234", drain=timedelta(0))
        job.cancelled.wait(20)
        return token

    canary.work = work


PATHS: Mapping[str, Plan] = {
    "all goes well": lambda canary: None,
    "the job prints it": _works(lambda job, token: f"Bearer {token}\n"),
    "the job prints it in base64": _works(lambda job, token: base64.b64encode(token.encode()).decode()),
    "the job prints it in hex and backwards": _works(lambda job, token: f"{token.encode().hex()} {token[::-1]}"),
    "the job raises it": _works(_raising),
    "the job exits with it": _works(lambda job, token: exit(token)),
    "the job returns nonsense": _works(lambda job, token: [token]),
    "the job is stopped by a halt": _halts,
    "the release raises it": _fails("pipeline.release"),
    "the release raises it as one of our errors": _fails("pipeline.release", _typed),
    "the release raises it after the runner got it": _fails("pipeline.release", done=True),
    "the release and the stop raise it": _both(_fails("pipeline.release"), _fails("pipeline.stop")),
    "the stop raises it in a halt": _both(_halts, _fails("pipeline.stop", times=2)),
    "observing raises it later": _both(_fails("pipeline.observe", first=2, times=3)),
    "observing raises it for good": _both(_fails("pipeline.observe", first=2)),
    "issuing raises it though issued": _fails("broker.issue", done=True),
    "issuing is uncertain": _fails("broker.issue", _uncertain, done=True),
    "listing raises it": _both(_fails("broker.issue", _uncertain, done=True), _fails("broker.outstanding")),
    "revoking raises it": _fails("broker.revoke"),
    "it can't be revoked": _dies,
    "the lease is too wide": _changed(scope=("tests", "admin")),
    "the lease has another tag": _changed(tag="dec-other"),
    "the gate closes before the release": _fails("store.lock", _unavailable, about="gate", first=3),
    "the gate raises it": _fails("store.lock", about="gate", first=3),
    "the outcome can't be recorded": _fails("store.transact", _unavailable, about="intent"),
    "recording the outcome raises it": _fails("store.transact", about="intent"),
}  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_promise_canary_secret(
    path: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    for name, value in (
        ("GRACE", timedelta(0)),
        ("HEARTBEAT", timedelta(milliseconds=10)),
        ("_RETRIES", (0.0,)),
    ):
        monkeypatch.setattr(effects, name, value)
    known: list[str] = []

    def noted(lease: Lease) -> Lease:
        lease.secret.reveal_to(lambda value: known.append(value.decode()))
        return lease

    class Knowing(FaultyBroker):
        """The real broker; what it issues is noted where it is issued."""

        def issue(self, grant: Any, *, until: Any) -> Lease:
            return self.faults.around("broker.issue", lambda: noted(self.inner.issue(grant, until=until)))

    def work(job: Job) -> Any:
        assert isinstance(job.credential, Secret)
        token: str = job.credential.reveal_to(lambda value: value.decode())
        assert token == known[0], "the runner got the very credential that was issued"
        return canary.work(job, token)

    profiles = {"tests": Profile(("tests",), timedelta(minutes=10))}
    live: list[Callable[[Any], bool]] = []
    faults = Faults()
    broker = Knowing(LocalBroker.generate(profiles, live=lambda tag: live[0](tag)), faults)
    at = stage(tmp_path, on_disk=True, work=work, actions=_ACTIONS, faults=faults, brokers={"local": broker})
    live.append(at.bench.gateway.is_live)
    canary = Canary(at, known, lambda job, token: None)
    PATHS[path](canary)

    outcome = at.bench.gateway.submit(at.bench.signed())

    assert len(known) == 1, "the credential never came about, so the path shows nothing"
    assert canary.token.count(".") == 2
    at.faults.lift()
    everywhere = _everywhere(canary, outcome, caplog.records)
    assert len(everywhere) >= 10
    assert _found(canary.token, {"what finds it": f"x{canary.token}x".encode()}) == ["what finds it"]
    assert _found(canary.token, everywhere) == []
    at.bench.gateway.close()
    files = {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert _found(canary.token, files) == []


_ACTIONS: Mapping[str, Mapping[str, Any]] = {
    "run-test-suite": {
        "credential": {"broker": "local", "profile": "tests", "ttl": "10m"},
        "cost": {"per_run": 20},
        "timeout": "1s",
        "parameters": {"test_suite": {"type": "string", "pattern": "[a-z]{1,40}"}},
    }
}
