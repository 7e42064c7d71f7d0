"""Runs as calls of the host's own functions, each in a thread of this process.

There is nothing around such a job: it is the host's code, and sees what the host sees. It can be asked to
stop; a thread can't be made to.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from attrs import evolve, field, frozen

from cigate.decision import DecisionId
from cigate.errors import PipelineUnavailable, PipelineUncertain
from cigate.lease import Lease
from cigate.pipelines.pipeline import Parameters, Run, RunSpec, RunState
from cigate.secret import Secret

REMEMBERED: Final = 1000
"""Ended runs that are kept to be asked about."""
OUTPUT_KEPT: Final = 1024 * 1024
_TO_STOP: Final = 5.0


@frozen
class Job:
    """What a function is called with.

    Args:
        parameters: checked against the action's schema.
        commit: as the request wrote it.
        decision_id: the decision that it runs under.
        receipt: the signed proof of that decision, JSON.
        credential: what was released to it; None if its action asks for none.
        cancelled: set when it should stop; a long function looks at it now and then.
    """

    parameters: Parameters
    commit: str
    decision_id: DecisionId
    receipt: bytes = field(repr=False)
    credential: Secret | None
    cancelled: threading.Event = field(repr=False)


Function = Callable[[Job], "int | str | None"]
"""What a job returns: None for success, an exit code, or its output."""


def _now() -> datetime:
    return datetime.now(UTC)


class FunctionPipeline:
    """Calls one function for each action, by the action's name. Its isolation is `host`: none at all.

    An error ends the run with exit code 1 and the error's type in `note`; its text may hold what it must
    not, so it goes nowhere. At the timeout a run counts as stopped and its function is asked to end.

    Args:
        functions: action names and what is called for them.
        clock: the time.
    """

    def __init__(self, functions: Mapping[str, Function], *, clock: Callable[[], datetime] = _now) -> None:
        self._functions = dict(functions)
        self._clock = clock
        self._changed = threading.Condition()
        self._calls: dict[DecisionId, _Call] = {}

    @property
    def isolation(self) -> str:
        return "host"

    def start(self, spec: RunSpec) -> Run:
        """Call the action's function, or hold the call until `release`.

        Raises:
            PipelineUnavailable: `pipeline.no-function`, `pipeline.isolation` (a sandbox is wanted),
                `pipeline.spawn`; nothing was started.
        """
        with self._changed:
            if spec.decision_id in self._calls:
                return self._calls[spec.decision_id].run
            function = self._functions.get(spec.action.name)
            if function is None:
                raise PipelineUnavailable(
                    "pipeline.no-function", f"no function was given for the action {spec.action.name}"
                )
            if spec.isolation == "sandbox":
                raise PipelineUnavailable("pipeline.isolation", "a function can't run in a sandbox")
            run = Run(
                id=f"function-{spec.decision_id}",
                decision_id=spec.decision_id,
                state=RunState.WAITING if spec.awaits_credential else RunState.RUNNING,
                workflow=spec.action.workflow,
                commit=spec.commit,
                parameters=spec.parameters,
                started=self._clock(),
            )
            call = _Call(spec, function, run)
            thread = threading.Thread(target=self._serve, args=(call,), name=f"cigate-{run.id}", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                raise PipelineUnavailable("pipeline.spawn", f"no thread could be started: {error}") from error
            self._calls[spec.decision_id] = call
            return run

    def observe(self, decision_id: DecisionId, *, wait: timedelta = timedelta(0)) -> Run | None:
        """The run of this decision as it is now, or once it has ended, after `wait` at most."""
        seconds = min(max(0.0, wait.total_seconds()), threading.TIMEOUT_MAX)
        with self._changed:
            self._changed.wait_for(lambda: self._ended(decision_id), timeout=seconds)
            call = self._calls.get(decision_id)
            return call.run if call is not None else None

    def release(self, run: Run, lease: Lease) -> None:
        """Hand the secret to the held call, as `job.credential`, whereupon it begins.

        Raises:
            PipelineUnavailable: `pipeline.not-waiting`, this run awaits no credential, or had one.
        """
        with self._changed:
            call = self._calls.get(run.decision_id)
            if call is None or call.run.id != run.id or call.run.state is not RunState.WAITING:
                raise PipelineUnavailable(
                    "pipeline.not-waiting", f"no run of {run.decision_id} awaits a credential"
                )
            call.secret = lease.secret
            call.run = evolve(call.run, state=RunState.RUNNING)
            self._changed.notify_all()

    def stop(self, decision_id: DecisionId) -> None:
        """Ask the function to end. A held call never begins. Idempotent.

        Raises:
            PipelineUncertain: `pipeline.still-runs`, the function did not look at `job.cancelled`.
        """
        with self._changed:
            call = self._calls.get(decision_id)
            if call is None:
                return
            self._give_up(call, "stopped")
            if not self._changed.wait_for(lambda: call.returned, timeout=_TO_STOP):
                raise PipelineUncertain(
                    "pipeline.still-runs",
                    f"the function of {decision_id} still runs: a thread can't be killed",
                    fix="let the function look at job.cancelled",
                )

    def _serve(self, call: _Call) -> None:
        spec = call.spec
        with self._changed:
            begins = self._changed.wait_for(
                lambda: call.run.state is not RunState.WAITING, timeout=spec.timeout.total_seconds()
            )
            if not begins:
                self._give_up(call, "no credential was released")
            if call.run.state is not RunState.RUNNING:
                self._return(call)
                return
        overdue = threading.Timer(spec.timeout.total_seconds(), self._overdue, args=(call,))
        overdue.daemon = True
        overdue.start()
        job = Job(
            spec.parameters, spec.commit_as_sent, spec.decision_id, spec.receipt, call.secret, call.cancelled
        )
        code, output, note = _called(call.function, job)
        overdue.cancel()
        with self._changed:
            if call.run.state is RunState.RUNNING:
                shown = call.secret.scrub(output) if call.secret is not None else output
                call.run = evolve(
                    call.run,
                    state=RunState.FINISHED,
                    ended=self._clock(),
                    exit_code=code,
                    output=shown[:OUTPUT_KEPT],
                    note=note,
                )
            self._return(call)

    def _overdue(self, call: _Call) -> None:
        with self._changed:
            self._give_up(call, f"timeout after {call.spec.timeout.total_seconds():g}s")

    def _give_up(self, call: _Call, why: str) -> None:
        call.cancelled.set()
        if not call.run.state.ended:
            begun = call.run.state is RunState.RUNNING
            note = f"{why}; its function was asked to end, a thread can't be killed" if begun else why
            call.run = evolve(call.run, state=RunState.STOPPED, ended=self._clock(), note=note)
            self._changed.notify_all()

    def _return(self, call: _Call) -> None:
        call.returned = True
        call.secret = None
        returned = [name for name, each in self._calls.items() if each.returned]
        for name in returned[: max(0, len(returned) - REMEMBERED)]:
            del self._calls[name]
        self._changed.notify_all()

    def _ended(self, decision_id: DecisionId) -> bool:
        call = self._calls.get(decision_id)
        return call is None or call.run.state.ended


class _Call:
    __slots__ = ("cancelled", "function", "returned", "run", "secret", "spec")

    def __init__(self, spec: RunSpec, function: Function, run: Run) -> None:
        self.spec = spec
        self.function = function
        self.run = run
        self.secret: Secret | None = None
        self.cancelled = threading.Event()
        self.returned = False


def _called(function: Function, job: Job) -> tuple[int, bytes, str]:
    """Exit code, output and note of one call; whatever it raises is a failure of the job, not ours."""
    try:
        result = function(job)
    except BaseException as error:  # noqa: BLE001  # SystemExit in a job must not pass for its success
        return 1, b"", type(error).__name__
    if result is None:
        return 0, b"", ""
    if isinstance(result, str):
        return 0, result.encode("utf-8", "replace"), ""
    if type(result) is int:
        return result, b"", ""
    return 1, b"", f"the function returned {type(result).__name__}, not None, an exit code or text"
