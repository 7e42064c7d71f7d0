"""What is special about functions: they are the host's, and a thread can't be killed."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from cigate.errors import PipelineUnavailable, PipelineUncertain
from cigate.pipelines import RunState
from cigate.pipelines.function import FunctionPipeline, Job
from cigate.testing.pipelines import ended
from tests.pipelines.pipeline_scene import spec


def refuse(job: Job) -> None:
    raise ValueError("text that may hold what it must not")


def leave(job: Job) -> None:
    raise SystemExit(0)


def test_a_function_is_given_what_was_decided() -> None:
    seen: list[Job] = []
    wanted = spec(isolation="none")
    run = ended(FunctionPipeline({"run-tests": lambda job: seen.append(job)}), wanted)
    assert run.succeeded
    (job,) = seen
    assert dict(job.parameters) == dict(wanted.parameters)
    assert (job.commit, job.decision_id, job.receipt) == (
        wanted.commit_as_sent,
        wanted.decision_id,
        wanted.receipt,
    )
    assert job.credential is None


@pytest.mark.parametrize(
    ("returned", "code", "output"),
    [
        (None, 0, b""),
        (0, 0, b""),
        (7, 7, b""),
        ("done: ä", 0, "done: ä".encode()),
        (True, 1, b""),
        (b"x", 1, b""),
    ],
)
def test_what_a_function_returns_is_its_exit_code_or_its_output(
    returned: object, code: int, output: bytes
) -> None:
    run = ended(FunctionPipeline({"run-tests": lambda job: returned}), spec(isolation="none"))  # type: ignore[dict-item, return-value]
    assert (run.exit_code, run.output) == (code, output)


@pytest.mark.parametrize(("function", "name"), [(refuse, "ValueError"), (leave, "SystemExit")])
def test_an_error_fails_the_run_and_its_text_goes_nowhere(function: object, name: str) -> None:
    run = ended(FunctionPipeline({"run-tests": function}), spec(isolation="none"))  # type: ignore[dict-item]
    assert (run.state, run.exit_code, run.note, run.output) == (RunState.FINISHED, 1, name, b"")


def test_an_action_without_a_function_starts_nothing() -> None:
    with pytest.raises(PipelineUnavailable) as failure:
        FunctionPipeline({}).start(spec(isolation="none"))
    assert failure.value.code == "pipeline.no-function"


def test_a_function_that_does_not_look_is_reported_as_still_running(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cigate.pipelines.function._TO_STOP", 0.05)
    begun, free = threading.Event(), threading.Event()

    def deaf(job: Job) -> None:
        begun.set()
        free.wait(30)

    pipeline = FunctionPipeline({"run-tests": deaf})
    wanted = spec(isolation="none")
    pipeline.start(wanted)
    assert begun.wait(30)
    with pytest.raises(PipelineUncertain) as failure:
        pipeline.stop(wanted.decision_id)
    assert failure.value.code == "pipeline.still-runs"
    run = pipeline.observe(wanted.decision_id)
    assert run is not None
    assert "can't be killed" in run.note
    free.set()
    monkeypatch.undo()
    pipeline.stop(wanted.decision_id)
    assert pipeline.observe(wanted.decision_id) == run


def test_a_run_that_gets_no_credential_in_its_time_never_calls_its_function() -> None:
    called = threading.Event()
    pipeline = FunctionPipeline({"run-tests": lambda job: called.set()})
    run = ended(pipeline, spec(isolation="none", awaits_credential=True, timeout=timedelta(milliseconds=30)))
    pipeline.stop(run.decision_id)
    assert (run.state, run.note) == (RunState.STOPPED, "no credential was released")
    assert not called.is_set()


def test_only_so_many_ended_runs_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cigate.pipelines.function.REMEMBERED", 2)
    pipeline = FunctionPipeline({"run-tests": lambda job: None})
    specs = [spec(isolation="none") for _ in range(4)]
    for each in specs:
        ended(pipeline, each)
        pipeline.stop(each.decision_id)
    assert [pipeline.observe(each.decision_id) is not None for each in specs] == [False, False, True, True]
