"""Four engines agree on random expressions, but for what is argued; and the run would see it if they did not."""

from __future__ import annotations

import pytest

from tests.cel import agreement
from tests.cel.agreement import report, run
from tests.oracles.engines import GOOGLE, RUST
from tests.oracles.outcome import Failed

CASES = 10_000


@pytest.mark.parametrize("seed", range(1, 11))
def test_no_disagreement_is_without_a_reason(seed):
    tally = run(seed, CASES)
    assert not tally.bugs, "\n".join(report(tally))
    assert tally.cases >= CASES
    assert tally.values > tally.cases / 3, "most cases fail, so they compare little"


def test_the_same_seed_gives_the_same_cases():
    assert run(5, 400) == run(5, 400)


def false_is_true(found):
    return ("bool", True) if found == ("bool", False) else found


def division_by_zero_is_zero(found):
    return ("int", 0) if isinstance(found, Failed) and "divide-by-zero" in found.said else found


def an_int_is_a_uint(found):
    return ("uint", found[1]) if found == ("int", 1) else found


@pytest.mark.parametrize(
    ("engine", "wrong"),
    [
        (GOOGLE, false_is_true),
        (GOOGLE, division_by_zero_is_zero),
        (GOOGLE, an_int_is_a_uint),  # the crate's uint comes to Python as an int, so it can't tell
        (RUST, false_is_true),
        (RUST, division_by_zero_is_zero),
    ],
)
def test_a_wrong_answer_of_ours_is_found(engine, wrong, monkeypatch):
    """A harness that sees nothing passes as well as one that finds nothing wrong."""
    whole = agreement.OURS

    class Mutant:
        name = whole.name

        def prepare(self, *args, **kwargs):
            right = whole.prepare(*args, **kwargs)
            return lambda bindings: wrong(right(bindings))

    monkeypatch.setattr(agreement, "OURS", Mutant())
    assert any(name == engine.name for name, _ in run(1, 2000).bugs)
