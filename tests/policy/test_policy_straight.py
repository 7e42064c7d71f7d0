"""The quick way decides as the exact way does: for all policies, all facts, and whatever was asked before.

The quick way is code for documents of the usual shape, and it learns that shape from those that come. So each
policy is asked about many documents in a row, more than half of them odd.
"""

from __future__ import annotations

import json
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from random import Random
from time import process_time
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from policy_documents import Moment, Team, odd, whole
from policy_grammar import SCHEMAS, loaded, rich_policies
from policy_writing import ACTION, allow, deny, facts, policy

from cigate.decision import Decision
from cigate.errors import PolicyError
from cigate.facts import FactType, Schema
from cigate.policy import PolicyEngine


def decided_exactly(engine: PolicyEngine, document: Any) -> Decision:
    """The decision, which is that of the exact way."""
    before = repr(document)
    wanted = engine.exactly(document)
    found = engine.decide(document)
    assert repr(document) == before, "it changed the facts"
    assert found == wanted, f"{document!r}: {found!r} {found.reasons} instead of {wanted!r} {wanted.reasons}"
    assert json.dumps(found.to_json()) == json.dumps(wanted.to_json())
    return found


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@pytest.mark.parametrize("schema", SCHEMAS, ids=["any-action", "known-actions"])
@given(rules=rich_policies(), seed=st.integers(0, 2**32))
def test_the_quick_way_decides_as_the_exact_way_does(
    schema: Schema, rules: list[dict[str, Any]], seed: int
) -> None:
    try:
        engine = loaded(rules, schema)
    except PolicyError as error:
        assume(error.code not in ("policy.presence", "policy.type"))
        raise
    random = Random(seed)
    for at in range(70):
        document = whole(random) if random.random() < 0.5 else odd(random)
        found = decided_exactly(engine, document)
        assert at % 20 or found.explain()


@pytest.mark.parametrize("first", ["", "unheard-of"])
def test_an_action_without_a_name_is_none_of_those_that_no_rule_names(first: str) -> None:
    engine = policy(allow('action == ""'))
    for action in (first, "", "unheard-of", ""):
        assert decided_exactly(engine, {"action": action}).allowed is (action == "")


def managed_by_default() -> defaultdict[str, Any]:
    found: defaultdict[str, Any] = defaultdict(lambda: {"managed": True})
    found["action"] = "x"
    return found


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(lambda: {**facts(), "agent": defaultdict(lambda: True)}, id="group"),
        pytest.param(lambda: {**facts(), "device": {"posture": defaultdict(lambda: True)}}, id="map"),
        pytest.param(managed_by_default, id="document"),
        pytest.param(lambda: defaultdict(str), id="empty-document"),
        pytest.param(lambda: MappingProxyType(managed_by_default()), id="proxy"),
    ],
)
def test_a_map_that_makes_up_what_is_missing_is_not_asked(document: Any) -> None:
    for expression in ("agent.managed && device.posture.ok", 'action == "" || agent.managed'):
        engine = policy(allow(expression))
        decided_exactly(engine, facts())
        assert not decided_exactly(engine, document()).allowed


def test_an_approval_from_beyond_the_years_of_utc_is_no_fact_though_no_rule_asks_for_one() -> None:
    at = datetime.max.replace(tzinfo=timezone(timedelta(hours=-5)))
    decision = decided_exactly(policy(allow()), facts(approvals=[{"user": "bob", "at": at}]))
    assert decision.code == "facts.range"


def test_more_time_than_a_duration_has_passed_is_an_error() -> None:
    engine = policy(allow('now - risk.as_of > duration("1h")'))
    for then, code in (
        ("2026-11-24T06:00:00Z", "policy.allowed"),
        ("0001-01-01T00:00:00Z", "policy.rule-error"),
    ):
        assert decided_exactly(engine, facts(risk={"as_of": then}, budget=None)).code == code


@pytest.mark.parametrize("value", ["2026-01-01T00:00:00Z", {"timestamp": "2026-01-01T00:00:00Z"}])
def test_a_time_among_typed_parameters_is_one_only_where_it_is_written_as_one(value: Any) -> None:
    schema = Schema.default().with_actions({"x": {"at": FactType.TIMESTAMP}})
    engine = policy(allow('parameters.at > timestamp("2020-01-01T00:00:00Z")'), schema=schema)
    for _ in range(3):
        found = decided_exactly(engine, {"action": "x", "parameters": {"at": value}})
        assert found.allowed is not isinstance(value, str)


@pytest.mark.parametrize("budget", [{}, {"unknown": 1}, {"remaining": 10}, {"remaining": 10, "unknown": 1}])
def test_only_a_budget_that_says_something_is_reserved_from(budget: dict[str, Any]) -> None:
    found = decided_exactly(policy(allow("agent.managed")), facts(budget=budget))
    assert bool(found.takes) is ("remaining" in budget)


def test_what_the_schema_does_not_name_is_not_reserved() -> None:
    fields = {
        path: kind for path, kind in Schema.default().fields.items() if path.partition(".")[0] != "cost"
    }
    assert decided_exactly(policy(allow(), schema=Schema(fields)), facts()).allowed


def test_threads_that_ask_first_all_learn_what_an_answer_means() -> None:
    rules = [allow(f'user.team == "team-{at}" && agent.id == "a-{of}"') for at in range(9) for of in range(9)]
    for _ in range(5):
        engine = policy(*rules)
        asked = [
            {"action": "x", "user": {"team": f"team-{at}"}, "agent": {"id": f"a-{at}"}} for at in range(10)
        ]
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(engine.decide, asked * 3))
        assert found == [engine.exactly(one) for one in asked * 3]


@pytest.mark.parametrize("value", [Team.QA, Moment(2026, 11, 24, tzinfo=UTC)])
def test_a_text_and_a_time_of_a_class_of_their_own_are_explained(value: Any) -> None:
    engine = policy(allow("agent.managed"), deny("history.requests > 3"))
    assert decided_exactly(engine, {"action": "x", "history": {"requests": value}}).explain()


@pytest.mark.parametrize("more", [{"bad": [1]}, {"requests": -1}, {"requests": 2**60}, {"bad": "\ud83d"}])
def test_a_member_more_of_an_open_map_is_checked_though_all_the_others_are_the_usual_ones(more: Any) -> None:
    engine = policy(allow("history.runs == 3"), allow("has(history.requests) && history.requests < 10"))
    for _ in range(4):
        assert engine.decide({"action": "x", "history": {"runs": 3}}).allowed
    assert not decided_exactly(engine, {"action": "x", "history": {"runs": 3, **more}}).allowed


@pytest.mark.parametrize(
    "expression", ['parameters.ref != "x"', 'has(parameters.ref) && parameters.ref != "x"']
)
def test_half_a_surrogate_pair_is_no_text_where_a_rule_reads_it_as_a_parameter(expression: str) -> None:
    for schema in SCHEMAS:
        engine = policy(allow(expression, actions=[ACTION]), schema=schema)
        assert decided_exactly(engine, facts(parameters={"ref": "\ud83d"})).code == "facts.type"
        assert decided_exactly(engine, facts(parameters={"ref": "\u00e9"})).code == "policy.allowed"


@pytest.mark.parametrize("expression", ["parameters.count > 1", "has(parameters.count)", "agent.managed"])
def test_a_parameter_has_the_bounds_that_the_schema_says(expression: str) -> None:
    schema = Schema(Schema.default().fields, bounds={"parameters.count": (0, 5)})
    for each in (schema, schema.with_actions({ACTION: {"count": FactType.INT}})):
        engine = policy(allow(expression, actions=[ACTION]), schema=each)
        assert decided_exactly(engine, facts(parameters={"count": 9})).code == "facts.range"
        assert decided_exactly(engine, facts(parameters={"count": 4})).code == "policy.allowed"


def test_a_map_of_very_many_members_is_no_usual_shape_for_which_code_is_made() -> None:
    engine = policy(allow("history.requests == 1"))
    asked = facts(history={"requests": 1, **{f"m{at}": at for at in range(50_000)}})
    began = process_time()
    assert {engine.decide(asked).effect for _ in range(5)} == {"allow"}
    assert process_time() - began < 20  # code for them all takes minutes to make
