"""The contract of a pipeline, as tests: authors of a backend subclass it and say how their jobs are made.

    class TestJenkinsPipeline(PipelineContract):
        @pytest.fixture
        def pipeline(self, jenkins):
            return JenkinsPipeline(jenkins.url, …)

        @pytest.fixture
        def make_spec(self):
            return lambda decision_id, does, **fields: RunSpec(…)

`does` is one of `Does`; `fields` are those of a RunSpec that a test wants otherwise.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from enum import Enum
from itertools import count
from typing import Final

import pytest
from attrs import evolve

from cigate.decision import DecisionId
from cigate.errors import PipelineUnavailable
from cigate.lease import Lease, LeaseId, Tag
from cigate.pipelines import Pipeline, Run, RunSpec, RunState, mismatch
from cigate.secret import Secret

CREDENTIAL: Final = "cigate-contract-credential-7Qm2"
_LONG: Final = timedelta(seconds=60)
_A_MOMENT: Final = timedelta(milliseconds=30)
_IDS = count(1)


class Does(Enum):
    """What the job of a spec does."""

    SUCCEED = "ends with 0"
    FAIL = "ends with 3"
    LAST = "runs until it is stopped"
    SHOW = "prints its credential, and its base64 where it can; ends with 0 if it is CREDENTIAL"


MakeSpec = Callable[..., RunSpec]


def lease_of(decision_id: DecisionId, secret: str = CREDENTIAL) -> Lease:
    """A lease as a broker gives it."""
    return Lease(
        LeaseId("lease-1"), Tag(decision_id), Secret(secret), ("tests",), datetime(2030, 1, 1, tzinfo=UTC)
    )


class PipelineContract:
    """What every pipeline promises."""

    @pytest.fixture
    def pipeline(self) -> Pipeline:
        raise NotImplementedError("give the contract a pipeline: override the fixture `pipeline`")

    @pytest.fixture
    def make_spec(self) -> MakeSpec:
        raise NotImplementedError("say how a spec is made: override the fixture `make_spec`")

    @pytest.fixture
    def decision_id(self) -> DecisionId:
        return DecisionId(f"decision-{next(_IDS)}")

    @pytest.mark.parametrize(("does", "code"), [(Does.SUCCEED, 0), (Does.FAIL, 3)])
    def test_a_run_ends_with_the_exit_code_of_its_job(
        self, pipeline: Pipeline, make_spec: MakeSpec, decision_id: DecisionId, does: Does, code: int
    ) -> None:
        run = ended(pipeline, make_spec(decision_id, does))
        assert (run.state, run.exit_code, run.succeeded) == (RunState.FINISHED, code, code == 0)
        assert run.ended is not None
        assert run.ended >= run.started

    def test_what_is_observed_is_what_was_decided(
        self, pipeline: Pipeline, make_spec: MakeSpec, decision_id: DecisionId
    ) -> None:
        spec = make_spec(decision_id, Does.SUCCEED)
        assert mismatch(spec, pipeline.start(spec)) == ""
        run = pipeline.observe(decision_id, wait=_LONG)
        assert run is not None
        assert mismatch(spec, run) == ""

    def test_one_decision_never_starts_two_runs(
        self, pipeline: Pipeline, make_spec: MakeSpec, decision_id: DecisionId
    ) -> None:
        spec = make_spec(decision_id, Does.LAST)
        with ThreadPoolExecutor(8) as pool:
            runs = list(pool.map(lambda _: pipeline.start(spec), range(8)))
        pipeline.stop(decision_id)
        assert len({run.id for run in runs}) == 1
        assert pipeline.start(spec).state is RunState.STOPPED

    def test_two_decisions_are_two_runs(
        self, pipeline: Pipeline, make_spec: MakeSpec, decision_id: DecisionId
    ) -> None:
        other = DecisionId(f"{decision_id}-other")
        first, second = (ended(pipeline, make_spec(each, Does.SUCCEED)) for each in (decision_id, other))
        assert first.id != second.id
        assert (first.decision_id, second.decision_id) == (decision_id, other)

    def test_a_decision_that_started_nothing_has_no_run(
        self, pipeline: Pipeline, decision_id: DecisionId
    ) -> None:
        assert pipeline.observe(decision_id, wait=_A_MOMENT) is None
        pipeline.stop(decision_id)
        assert pipeline.observe(decision_id) is None

    def test_a_run_that_still_goes_on_is_shown_as_it_is_after_the_wait(
        self, pipeline: Pipeline, make_spec: MakeSpec, decision_id: DecisionId
    ) -> None:
        pipeline.start(make_spec(decision_id, Does.LAST))
        run = pipeline.observe(decision_id, wait=_A_MOMENT)
        pipeline.stop(decision_id)
        assert run is not None
        assert (run.state, run.exit_code, run.ended) == (RunState.RUNNING, None, None)

    def test_a_stopped_run_did_not_end_by_itself_and_stopping_it_again_changes_nothing(
        self, pipeline: Pipeline, make_spec: MakeSpec, decision_id: DecisionId
    ) -> None:
        pipeline.start(make_spec(decision_id, Does.LAST))
        pipeline.stop(decision_id)
        stopped = pipeline.observe(decision_id)
        pipeline.stop(decision_id)
        assert stopped is not None
        assert (stopped.state, stopped.exit_code, stopped.succeeded) == (RunState.STOPPED, None, False)
        assert pipeline.observe(decision_id) == stopped

    def test_a_run_is_stopped_at_its_timeout(
        self, pipeline: Pipeline, make_spec: MakeSpec, decision_id: DecisionId
    ) -> None:
        run = ended(pipeline, make_spec(decision_id, Does.LAST, timeout=timedelta(milliseconds=300)))
        assert (run.state, run.exit_code) == (RunState.STOPPED, None)
        assert "timeout" in run.note

    def test_a_run_that_awaits_its_credential_does_not_begin_without_it(
        self, pipeline: Pipeline, make_spec: MakeSpec, decision_id: DecisionId
    ) -> None:
        started = pipeline.start(make_spec(decision_id, Does.SUCCEED, awaits_credential=True))
        waiting = pipeline.observe(decision_id, wait=_A_MOMENT)
        pipeline.stop(decision_id)
        stopped = pipeline.observe(decision_id)
        assert started.state is RunState.WAITING
        assert waiting is not None
        assert waiting.state is RunState.WAITING
        assert stopped is not None
        assert (stopped.state, stopped.output) == (RunState.STOPPED, b"")

    def test_the_released_credential_reaches_the_job_and_nothing_that_comes_out(
        self, pipeline: Pipeline, make_spec: MakeSpec, decision_id: DecisionId
    ) -> None:
        started = pipeline.start(make_spec(decision_id, Does.SHOW, awaits_credential=True))
        pipeline.release(started, lease_of(decision_id))
        run = pipeline.observe(decision_id, wait=_LONG)
        assert run is not None
        assert run.exit_code == 0
        for shown in (run.output, repr(run).encode(), run.note.encode()):
            assert CREDENTIAL.encode() not in shown
            assert base64.b64encode(CREDENTIAL.encode()).rstrip(b"=") not in shown

    def test_a_credential_is_released_once(
        self, pipeline: Pipeline, make_spec: MakeSpec, decision_id: DecisionId
    ) -> None:
        started = pipeline.start(make_spec(decision_id, Does.LAST, awaits_credential=True))
        pipeline.release(started, lease_of(decision_id))
        with pytest.raises(PipelineUnavailable):
            pipeline.release(started, lease_of(decision_id))
        pipeline.stop(decision_id)

    def test_no_credential_is_released_to_a_run_that_awaits_none_or_has_ended_or_is_another(
        self, pipeline: Pipeline, make_spec: MakeSpec, decision_id: DecisionId
    ) -> None:
        other = DecisionId(f"{decision_id}-held")
        held = pipeline.start(make_spec(other, Does.SUCCEED, awaits_credential=True))
        ends = ended(pipeline, make_spec(decision_id, Does.SUCCEED))
        for run in (ends, evolve(held, decision_id=decision_id), evolve(held, id="another")):
            with pytest.raises(PipelineUnavailable):
                pipeline.release(run, lease_of(run.decision_id))
        pipeline.stop(other)
        with pytest.raises(PipelineUnavailable):
            pipeline.release(held, lease_of(other))

    def test_a_run_that_must_be_in_a_sandbox_starts_nowhere_else(
        self, pipeline: Pipeline, make_spec: MakeSpec, decision_id: DecisionId
    ) -> None:
        spec = make_spec(decision_id, Does.SUCCEED, isolation="sandbox")
        if pipeline.isolation == "sandbox":
            assert ended(pipeline, spec).succeeded
        else:
            with pytest.raises(PipelineUnavailable):
                pipeline.start(spec)
            assert pipeline.observe(decision_id) is None


def ended(pipeline: Pipeline, spec: RunSpec) -> Run:
    """The run of a spec, started and at its end."""
    pipeline.start(spec)
    run = pipeline.observe(spec.decision_id, wait=_LONG)
    assert run is not None, "a run that was started can be observed"
    assert run.state.ended, f"{run.id} has not ended"
    return run
