"""The table of failures, made from what the cases really do: `python -m tests.gateway.failure_table` writes it."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path
from typing import Final

from tests.gateway.failure_cases import CASES, Case
from tests.gateway.failure_scene import Seen, look, scene

PAGE: Final = Path(__file__).parents[2] / "docs" / "reference" / "failures.md"

_INTRODUCTION: Final = """\
# What happens when something fails

This page is written by `python -m tests.gateway.failure_table` from the fault-injection tests: each row is what one
request came to when one thing went wrong, and a test fails when the page and the gateway differ. The request is
signed by a known agent, would be allowed, costs something and gets a credential.

- **caller gets**: effect, code and exit code. A caller learns no more than this.
- **ran**: whether the job did. It never runs twice.
- **budget**: `reserved` is not settled yet; `charged` stays taken, since a run began or may have begun.
- **lease**: `none` was issued; it was `revoked`; or it may still open something, and `health` has it: `named`.
- **ledger**: the entries, in order; an outcome with its code.
- **then**: what the next `reconcile` does once the fault is over. Empty: nothing is left to do.
"""


@cache
def seen(at: int) -> Seen:
    """What case number `at` comes to."""
    case = CASES[at]
    log = logging.getLogger("cigate")
    log.disabled = True
    try:
        with scene(**case.scene) as made:
            return look(made, case.submit, case.plan)
    finally:
        log.disabled = False


def page() -> str:
    """The page, of all cases."""
    lines = [_INTRODUCTION]
    seam = ""
    for at, case in enumerate(CASES):
        if case.seam != seam:
            seam = case.seam
            lines += [
                f"\n## {seam[0].upper()}{seam[1:]}\n" if "." not in seam else f"\n## `{seam}`\n",
                "| fault | caller gets | ran | budget | lease | ledger | then |",
                "| --- | --- | --- | --- | --- | --- | --- |",
            ]
        lines.append(_line(case, seen(at)))
    return "\n".join(lines) + "\n"


def _line(case: Case, found: Seen) -> str:
    cells = (
        case.fault,
        f"{found.effect}, `{found.code}`, {found.exit_code}",
        "yes" if found.jobs else "no",
        found.budget,
        found.lease,
        ", ".join(found.entries) or "nothing",
        found.reconciled,
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
