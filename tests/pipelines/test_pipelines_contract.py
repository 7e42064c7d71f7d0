"""The contract is kept by the pipelines that are ours, and notices each lie of one that is not."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cigate.pipelines import Pipeline, RunSpec
from cigate.pipelines.function import FunctionPipeline, Job
from cigate.pipelines.local import LocalPipeline
from cigate.testing.pipelines import CREDENTIAL, Does, MakeSpec, PipelineContract
from tests.pipelines.pipeline_scene import spec, spec_that
from tests.simulators.lying_pipeline import Lie, LyingPipeline


class TestSandboxedJobs(PipelineContract):
    @pytest.fixture
    def pipeline(self) -> Pipeline:
        return LocalPipeline()

    @pytest.fixture
    def make_spec(self) -> MakeSpec:
        return spec_that


class TestUnisolatedJobs(PipelineContract):
    @pytest.fixture
    def pipeline(self) -> Pipeline:
        return LocalPipeline("none", allow_unisolated_jobs=True)

    @pytest.fixture
    def make_spec(self) -> MakeSpec:
        return unisolated(spec_that)


def show(job: Job) -> str | int:
    assert job.credential is not None
    return job.credential.reveal_to(bytes.decode) if job.credential.matches(CREDENTIAL) else 1


def last(job: Job) -> None:
    job.cancelled.wait(60)


FUNCTIONS: dict[Does, Callable[[Job], int | str | None]] = {
    Does.SUCCEED: lambda job: None,
    Does.FAIL: lambda job: 3,
    Does.LAST: last,
    Does.SHOW: show,
}


class TestFunctions(PipelineContract):
    @pytest.fixture
    def pipeline(self) -> Pipeline:
        return FunctionPipeline({"run-tests": lambda job: FUNCTIONS[Does[str(job.parameters["does"])]](job)})

    @pytest.fixture
    def make_spec(self) -> MakeSpec:
        return unisolated(
            lambda decision_id, does, **fields: spec(
                decision_id=decision_id, parameters={"does": does.name}, **fields
            )
        )


def unisolated(make: Callable[..., RunSpec]) -> MakeSpec:
    return lambda *given, **fields: make(*given, **{"isolation": "none", **fields})


class TestLies(TestFunctions):
    """Run by the test below, once without a lie and once with each."""

    lies: frozenset[Lie] = frozenset()

    @pytest.fixture
    def pipeline(self) -> Pipeline:
        honest: Any = FunctionPipeline(
            {"run-tests": lambda job: FUNCTIONS[Does[str(job.parameters["does"])]](job)}
        )
        return LyingPipeline(honest, lies=self.lies)


def test_the_contract_notices_every_lie(tmp_path: Path) -> None:
    suite = tmp_path / "test_lies.py"
    classes = [f"class Test{lie.name}(_Honest):\n    lies = frozenset({{Lie.{lie.name}}})\n" for lie in Lie]
    suite.write_text(
        "from tests.pipelines.test_pipelines_contract import TestLies as _Honest\n"
        "from tests.simulators.lying_pipeline import Lie\n" + "".join(classes)
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rf", "-p", "no:cacheprovider", "--rootdir", root, suite],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    noticed = set(re.findall(r"^FAILED .*::Test([A-Z_]+)::", done.stdout, re.MULTILINE))
    assert noticed == {lie.name for lie in Lie}, done.stdout
