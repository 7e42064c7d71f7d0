"""The smallest change is proved smallest by brute force: every change of every document over small lattices.

A policy is drawn; the facts that it reads get all values that there are (integers have bounds of 0 to 4, texts two
names and any other, every fact may be unknown, people may have approved). All documents are decided once, into
a table; then for each document the nearest ones that allow are looked up in the table, and must be what
`counterfactual` gives: the same size, the same sets of facts, each one sufficient.
"""

from __future__ import annotations

import sys
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from policy_writing import allow, ask, deny, document, throttle

from cigate.decision import Effect
from cigate.facts import Facts, FactType, Schema
from cigate.policy import PolicyEngine
from cigate.policy.explaining.nearest import counterfactual

NOW = "2026-11-24T08:00:00Z"
SCHEMA = Schema(
    {
        "now": FactType.TIMESTAMP,
        "action": FactType.STRING,
        "user.id": FactType.STRING,
        "approvals": FactType.APPROVALS,
        "is.managed": FactType.BOOL,
        "is.trusted": FactType.BOOL,
        "is.urgent": FactType.BOOL,
        "count.low": FactType.INT,
        "count.high": FactType.INT,
        "name.team": FactType.STRING,
        "name.tags": FactType.STRINGS,
        "posture": FactType.SCALARS,
    },
    bounds={"count.low": (0, 4), "count.high": (0, 4), "posture.age": (0, 4)},
)
UNKNOWN = object()
SPARE = "other-0"
"""One text more than the documents begin with: what a change may need that must be none of those."""
LATTICE: dict[str, list[Any]] = {
    "is.managed": [False, True],
    "is.trusted": [False, True, UNKNOWN],
    "is.urgent": [False, True],
    "count.low": [0, 1, 2, 3, 4],
    "count.high": [0, 1, 2, 3, 4, UNKNOWN],
    "name.team": ["qa", "web", "other", UNKNOWN, SPARE],
    "name.tags": [
        (),
        ("qa",),
        ("web",),
        ("qa", "web"),
        ("other",),
        ("qa", "other"),
        ("web", "other"),
        ("qa", "web", "other"),
        (SPARE,),
    ],
    "posture.age": [0, 1, 2, 3, 4, UNKNOWN],
}
MOST_DOCUMENTS = 1200
MOST_STARTS = 250
PEOPLE = 3
GIVEN: list[tuple[str, ...]] = [(), ("sre",), ("lead",)]
"""The roles of whoever has approved already."""

ATOMS = st.sampled_from(
    [
        "is.managed",
        "is.trusted",
        "is.urgent",
        "!is.managed",
        "is.managed == is.urgent",
        "count.low < 2",
        "count.low == 3",
        "count.low != 1",
        "count.high >= 3",
        "count.low <= count.high",
        "count.low < count.high",
        "count.low + count.high > 5",
        "count.high + count.low == 4",
        'name.team == "qa"',
        'name.team in ["qa", "web"]',
        'name.team != "web"',
        '"qa" in name.tags',
        '!("web" in name.tags)',
        "name.team in name.tags",
        "name.tags.exists(t, t == name.team)",
        "posture.age > 2",
        "posture.age in [1, 3]",
        "posture.age == count.low",
        "(is.managed ? count.low > 1 : is.urgent)",
    ]
)


def expressions(opens: bool) -> st.SearchStrategy[str]:
    tests = st.just("has(posture.age)" if opens else "!has(posture.age)")
    atoms = st.one_of(ATOMS, ATOMS, ATOMS, ATOMS, tests)
    return st.recursive(
        atoms,
        lambda below: st.tuples(below, st.sampled_from(["&&", "||"]), below).map(
            lambda e: f"({e[0]} {e[1]} {e[2]})"
        ),
        max_leaves=3,
    )


def asking(most: int) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda text, count, roles: ask(text, count=count, roles=roles),
        st.one_of(st.just("true"), expressions(False)),
        st.integers(1, most),
        st.sampled_from([[], ["sre"], ["lead"], ["sre", "lead"]]),
    )


def policies(
    *others: st.SearchStrategy[dict[str, Any]], allows: int = 1
) -> st.SearchStrategy[list[dict[str, Any]]]:
    """So many allow rules, and rules that restrict, one of each kind at most."""
    return st.tuples(
        *(expressions(True).map(allow) for _ in range(allows)),
        *(st.one_of(st.just(None), other) for other in others),
    ).map(lambda drawn: [rule for rule in drawn if rule is not None])


denying = expressions(False).map(deny)
throttling = expressions(False).map(throttle)
ignoring = expressions(False).map(lambda text: deny(text, on_unknown="ignore"))

SHAPES = {
    "one rule allows and one denies": policies(denying),
    "two rules allow and one denies": policies(denying, allows=2),
    "people are asked": policies(asking(2)),
    "people are asked twice, and a rule denies": policies(asking(1), asking(2), denying),
    "a rule throttles and one ignores the unknown": policies(throttling, ignoring),
}
CASES = 20_000
"""Documents for each shape: 100,000 in all."""


def _wanted() -> int:
    """How many to try here: where lines are traced it takes five times as long, and another interpreter does it."""
    coverage = sys.modules.get("coverage")
    return CASES // 10 if coverage is not None and coverage.Coverage.current() is not None else CASES


POLICIES = st.one_of(*SHAPES.values())


State = tuple[Any, ...]


class Lattice:
    """All documents over the facts that a policy reads, each decided once.

    A state has a value for each fact, what had been approved at first, and how many people were added since.
    """

    def __init__(self, engine: PolicyEngine) -> None:
        read = {
            name for one in engine._compiled if one.program is not None for name in one.program.references
        }
        self.paths = sorted(path for path in LATTICE if path in read)
        asked = any(one.rule.approval is not None for one in engine._compiled)
        self.given, added = (GIVEN, range(PEOPLE + 1)) if asked else (GIVEN[:1], range(1))
        self.size = len(self.given) * len(added)
        for path in self.paths:
            self.size *= len(LATTICE[path])
        self._added = added
        self._engine = engine

    def decide_all(self) -> None:
        values = list(product(*(LATTICE[path] for path in self.paths)))
        self.starts = [
            (*state, given, 0)
            for state in values
            for given in self.given
            if SPARE not in state and (SPARE,) not in state
        ]
        self.open = {
            (*state, given, added)
            for state in values
            for given in self.given
            for added in self._added
            if self._engine.decide(self.facts((*state, given, added))).effect is Effect.ALLOW
        }

    def facts(self, state: State) -> Facts:
        *values, given, added = state
        people = [{"user": f"had-{role}", "roles": [role], "at": NOW} for role in given]
        people += [{"user": f"new-{at}", "roles": ["sre", "lead"], "at": NOW} for at in range(added)]
        found = Facts.of({"now": NOW, "action": "a", "user": {"id": "asks"}, "approvals": people}, SCHEMA)
        for path, value in zip(self.paths, values, strict=True):
            if value is not UNKNOWN:
                found = found.including(path, value)
        return found

    def nearest(self, start: State) -> tuple[int, set[tuple[frozenset[str], int]]]:
        """The size of the smallest changes that allow, and each set of facts and count of people; -1: none."""
        *values, given, _ = start
        least, found = -1, set()
        for goal in self.open:
            if goal[-2] != given:
                continue
            paths = []
            for path, was, now in zip(self.paths, values, goal, strict=False):
                if now is not was and (now is UNKNOWN or now != was):
                    paths.append(path if now is not UNKNOWN else None)
            size = len(paths) + goal[-1]
            if None in paths or -1 < least < size:
                continue  # nothing that is known becomes unknown
            if size != least:
                least, found = size, set()
            found.add((frozenset(paths), goal[-1]))
        return least, found


@pytest.mark.parametrize("shape", SHAPES)
def test_a_change_is_sufficient_and_no_smaller_one_is_for_any_document_of_a_lattice(shape: str) -> None:
    cases, wanted = 0, _wanted()

    @settings(
        max_examples=600,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    @given(rules=SHAPES[shape])
    def over_the_lattice(rules: list[dict[str, Any]]) -> None:
        nonlocal cases
        if cases < wanted:
            cases += check_policy(rules)

    over_the_lattice()
    assert cases >= wanted, f"only {cases} cases"


def check_policy(rules: list[dict[str, Any]]) -> int:
    engine = PolicyEngine.from_yaml(document(*rules), SCHEMA)
    lattice = Lattice(engine)
    if lattice.size > MOST_DOCUMENTS:
        return 0
    lattice.decide_all()
    step = max(1, len(lattice.starts) // MOST_STARTS)
    for start in lattice.starts[::step]:
        facts = lattice.facts(start)
        size, sets = lattice.nearest(start)
        found = counterfactual(engine, facts)
        said = (rules, start, found.why, [change.words for change in found.changes])
        if size <= 0:
            assert found.changes == (), said
            assert (found.why == "") == (size == 0), said
            continue
        given = {
            (frozenset(one.path for one in change.facts), sum(some.count for some in change.people))
            for change in found.changes
        }
        assert {change.size for change in found.changes} == {size}, (*said, sets)
        assert given == sets, (*said, sets)
        for change in found.changes:
            assert engine.decide(change.changed).effect is Effect.ALLOW, said
            expected = facts
            for one in change.facts:
                expected = expected.including(one.path, one.value)
            assert expected.without("approvals") == change.changed.without("approvals"), said
    return len(lattice.starts[::step])
