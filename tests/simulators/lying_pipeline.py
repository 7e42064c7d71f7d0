"""A pipeline that breaks its promises, one lie at a time, for those who must notice."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum

from attrs import evolve

from cigate.decision import DecisionId
from cigate.lease import Lease
from cigate.pipelines import Pipeline, Run, RunSpec


class Lie(Enum):
    MOVED_REF = "another commit runs"
    OTHER_WORKFLOW = "another workflow runs"
    OTHER_PARAMETERS = "the run was given other parameters"
    STARTS_TWICE = "each start is a run of its own"
    BEGINS_EARLY = "the job does not wait for its credential"
    DEAF = "stop does nothing"
    LOSES_RUNS = "what was started can't be found"
    FORGES_SUCCESS = "every ended run succeeded"


class LyingPipeline:
    """An honest pipeline, and the lies that are told about it."""

    def __init__(self, honest: Pipeline, *, lies: frozenset[Lie] = frozenset()) -> None:
        self.honest = honest
        self.lies = lies
        self.released: list[DecisionId] = []
        self.stopped: list[DecisionId] = []
        self._starts = 0

    @property
    def isolation(self) -> str:
        return self.honest.isolation

    def start(self, spec: RunSpec) -> Run:
        self._starts += 1
        if Lie.BEGINS_EARLY in self.lies:
            spec = evolve(spec, awaits_credential=False)
        run = self._told(self.honest.start(spec))
        return evolve(run, id=f"{run.id}-{self._starts}") if Lie.STARTS_TWICE in self.lies else run

    def observe(self, decision_id: DecisionId, *, wait: timedelta = timedelta(0)) -> Run | None:
        run = self.honest.observe(decision_id, wait=wait)
        if run is None or Lie.LOSES_RUNS in self.lies:
            return None
        return self._told(run)

    def release(self, run: Run, lease: Lease) -> None:
        self.released.append(run.decision_id)
        self.honest.release(run, lease)

    def stop(self, decision_id: DecisionId) -> None:
        self.stopped.append(decision_id)
        if Lie.DEAF not in self.lies:
            self.honest.stop(decision_id)

    def _told(self, run: Run) -> Run:
        if Lie.MOVED_REF in self.lies:
            run = evolve(run, commit="f" * len(run.commit))
        if Lie.OTHER_WORKFLOW in self.lies:
            run = evolve(run, workflow="sha256:" + "f" * 64)
        if Lie.OTHER_PARAMETERS in self.lies:
            run = evolve(run, parameters={**run.parameters, "extra": "1"})
        if Lie.FORGES_SUCCESS in self.lies and run.exit_code is not None:
            run = evolve(run, exit_code=0)
        return run
