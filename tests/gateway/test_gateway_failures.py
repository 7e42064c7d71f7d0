"""One thing goes wrong at each seam. What must never be, is not; and the page that tells what happens is true."""

from __future__ import annotations

import pytest

from tests.gateway.failure_cases import CASES
from tests.gateway.failure_table import PAGE, page, seen

_EACH = pytest.mark.parametrize("at", range(len(CASES)), ids=[str(case) for case in CASES])
_STARTED = {
    "run.succeeded",
    "run.failed",
    "run.stopped",
    "run.unknown",
    "gateway.unrecorded",
    "credential.not-released",
}


@_EACH
def test_whatever_fails_nothing_is_lost_doubled_or_left_unnamed(at: int) -> None:
    assert seen(at).problems == ()


@_EACH
def test_a_job_runs_only_under_an_allow_that_was_committed_before(at: int) -> None:
    found = seen(at)
    if found.jobs:
        assert found.effect == "allow"
        assert found.entries[:2] == ("decision", "intent")
        assert found.code in _STARTED


@_EACH
def test_a_request_that_was_refused_reserves_and_issues_nothing_unless_its_commit_is_in_doubt(
    at: int,
) -> None:
    found = seen(at)
    if found.effect != "allow":
        assert (found.jobs, found.lease) == (0, "none")
        assert found.exit_code in (3, 10)
        assert found.budget == ("reserved" if found.intent else "untouched")


@_EACH
def test_success_is_told_of_successes_only(at: int) -> None:
    found = seen(at)
    assert (found.exit_code == 0) == (found.code == "run.succeeded")
    if found.exit_code == 0:
        assert found.jobs == 1
        assert found.budget == "charged"


@_EACH
def test_what_is_left_for_reconcile_is_settled_by_it(at: int) -> None:
    found = seen(at)
    if found.intent:
        assert found.reconciled.startswith("outcome ")
        assert "outstanding" not in found.reconciled


def test_the_page_of_failures_is_what_the_cases_do() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.gateway.failure_table"
