"""The pure parts: a job's environment, its limits, and the comparison of what was decided with what runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve
from hypothesis import assume, given
from hypothesis import strategies as st

from cigate.errors import PipelineUnavailable
from cigate.pipelines import Run, RunState, mismatch
from cigate.pipelines.environment import job_environment, parameter_variables
from cigate.pipelines.limits import MIB, Limits
from tests.pipelines.pipeline_scene import COMMIT, spec


def test_a_job_sees_its_decision_and_parameters_and_nothing_else_of_ours() -> None:
    wanted = spec(parameters={"test_suite": "a b;$(x)", "shards": 3, "fast": False, "x.y-z": ""})
    found = dict(job_environment(wanted, home="/h", receipt="/r"))
    assert found.pop("PATH").startswith("/usr/local/sbin:")
    assert found == {
        "HOME": "/h",
        "LANG": "C.UTF-8",
        "CIGATE_PARAM_TEST_SUITE": "a b;$(x)",
        "CIGATE_PARAM_SHARDS": "3",
        "CIGATE_PARAM_FAST": "false",
        "CIGATE_PARAM_X_Y_Z": "",
        "CIGATE_COMMIT": f"sha1:{COMMIT}",
        "CIGATE_DECISION_ID": wanted.decision_id,
        "CIGATE_RECEIPT": "/r",
    }


@given(st.dictionaries(st.text(min_size=1), st.integers() | st.booleans()))
def test_no_parameter_names_a_variable_outside_its_prefix(parameters: dict[str, bool | int]) -> None:
    try:
        found = parameter_variables(parameters)
    except PipelineUnavailable:
        assume(False)
    assert len(found) == len(parameters)
    assert all(name.startswith("CIGATE_PARAM_") and name.isascii() for name in found)
    assert all(letter.isalnum() or letter == "_" for name in found for letter in name)


@pytest.mark.parametrize("names", [("a-b", "a_b"), ("A", "a"), ("x.y", "x y")])
def test_two_parameters_never_share_a_variable(names: tuple[str, str]) -> None:
    with pytest.raises(PipelineUnavailable) as refusal:
        parameter_variables(dict.fromkeys(names, "v"))
    assert refusal.value.code == "pipeline.parameter-collision"


@pytest.mark.parametrize("value", ["a\0b", "\ud800"])
def test_a_value_that_no_variable_can_have_is_refused(value: str) -> None:
    with pytest.raises(PipelineUnavailable) as refusal:
        parameter_variables({"name": value})
    assert refusal.value.code == "pipeline.parameter-value"


@given(st.integers(min_value=16 * MIB, max_value=2**45))
def test_all_processes_and_files_of_a_job_together_stay_within_the_memory_of_its_action(memory: int) -> None:
    limits = Limits.within(memory, timedelta(minutes=10))
    files = limits.tmp + limits.home + limits.shm
    assert files + limits.processes * limits.address_space <= memory
    assert limits.file_size <= files
    assert limits.processes >= 8


def test_a_difference_of_what_runs_from_what_was_decided_is_found() -> None:
    wanted = spec()
    run = Run(
        "local-1",
        wanted.decision_id,
        RunState.RUNNING,
        wanted.action.workflow,
        COMMIT,
        wanted.parameters,
        datetime(2026, 11, 24, tzinfo=UTC),
    )
    assert mismatch(wanted, run) == ""
    for change in (
        {"decision_id": "another"},
        {"commit": "f" * 40},
        {"commit": COMMIT.upper()},
        {"workflow": "sha256:" + "0" * 64},
        {"parameters": {**wanted.parameters, "fast": 1}},
        {"parameters": {**wanted.parameters, "more": "x"}},
        {"parameters": {}},
    ):
        assert mismatch(wanted, evolve(run, **change)) != "", change
