"""A pipeline starts the run that was decided, without a secret; says what really runs; and ends it.

`mismatch` is the one place that compares what was decided with what runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Protocol

from attrs import field, frozen

from cigate.action import Action
from cigate.decision import DecisionId
from cigate.lease import Lease

Parameters = Mapping[str, "bool | int | str"]


def _frozen_map(given: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(dict(given))


@frozen
class RunSpec:
    """The run that was decided. It holds no secret.

    Args:
        decision_id: names the run: a pipeline never starts two for one.
        action: the catalogue's entry: source, command, workflow.
        commit: hex object id, without a `sha1:` or `sha256:` prefix.
        commit_as_sent: the commit as the request wrote it (what a job sees in `CIGATE_COMMIT`).
        parameters: checked against the action's schema.
        isolation: the strongest of pipeline and obligations: `sandbox` or `none`.
        timeout: the longest it may run.
        awaits_credential: the command must not begin before `release`.
        receipt: the signed proof of the decision, JSON, for the job (`CIGATE_RECEIPT` is its path).
    """

    decision_id: DecisionId
    action: Action
    commit: str
    commit_as_sent: str
    parameters: Parameters = field(converter=_frozen_map)
    isolation: str
    timeout: timedelta
    awaits_credential: bool
    receipt: bytes = b""


class RunState(StrEnum):
    WAITING = "waiting"
    """Started, held until `release`."""
    RUNNING = "running"
    FINISHED = "finished"
    """Ended by itself: `exit_code` is set."""
    STOPPED = "stopped"
    """Ended by the pipeline: timeout, `stop`, or a failure to start its command; `note` says which."""

    @property
    def ended(self) -> bool:
        return self in (RunState.FINISHED, RunState.STOPPED)


@frozen
class Run:
    """What really runs, as observed.

    Args:
        id: the pipeline's own name for the run.
        decision_id: the decision it belongs to.
        state: where it stands.
        workflow: what it executes, as the pipeline observes it (for a local job its action's digest).
        commit: the hex object id that it really has.
        parameters: what it was really given.
        started: when it began.
        ended: when it was observed to have ended.
        exit_code: of the command; None while it runs, or if it was stopped.
        output: combined output, capped, with the literal secret scrubbed; empty where the pipeline has none.
        note: why it was stopped, what limits held (`limits: per-process`).
    """

    id: str
    decision_id: DecisionId
    state: RunState
    workflow: str
    commit: str
    parameters: Parameters = field(converter=_frozen_map)
    started: datetime
    ended: datetime | None = None
    exit_code: int | None = None
    output: bytes = field(default=b"", repr=False)
    note: str = ""

    @property
    def succeeded(self) -> bool:
        return self.state is RunState.FINISHED and self.exit_code == 0


class Pipeline(Protocol):
    """Where runs happen. Safe to use from many threads.

    `isolation` is what it gives its runs: `sandbox`, `none`, or a vendor's word; only it meets an obligation.
    """

    @property
    def isolation(self) -> str: ...

    def start(self, spec: RunSpec) -> Run:
        """Start the decided run, without a secret; one decision id never starts two.

        Raises:
            PipelineUnavailable: nothing was started.
            PipelineUncertain: something may run; `observe` finds it by the decision's id.
        """

    def observe(self, decision_id: DecisionId, *, wait: timedelta = timedelta(0)) -> Run | None:
        """What really runs under this decision, after waiting up to `wait` for its end. None: nothing."""

    def release(self, run: Run, lease: Lease) -> None:
        """Hand the credential to the runner of this run and to nobody else, once.

        Raises:
            PipelineUnavailable: the runner did not get it.
        """

    def stop(self, decision_id: DecisionId) -> None:
        """Cancel the run and tear down what it used. Idempotent; returns when nothing of it runs."""


def mismatch(spec: RunSpec, run: Run) -> str:
    """How the observed run differs from the decided one, in words; empty when it does not."""
    if run.decision_id != spec.decision_id:
        return f"the run belongs to decision {run.decision_id}, not {spec.decision_id}"
    if run.commit != spec.commit:
        return f"the run has commit {run.commit}, decided was {spec.commit}"
    if run.workflow != spec.action.workflow:
        return f"the run executes {run.workflow}, decided was {spec.action.workflow}"
    decided, seen = dict(spec.parameters), dict(run.parameters)
    if decided != seen or any(type(decided[name]) is not type(seen[name]) for name in decided):
        return "the run was given other parameters than the decided ones"
    return ""
