"""What holds for every policy that loads and for all facts.

The crown is the first: whatever fact goes missing, nothing opens. Policies are drawn from a grammar that is rich
in presence tests, and every fact of every document is taken away in turn. So that thousands of decisions take
seconds, expressions are evaluated here by thirty lines of Python instead of the real evaluator; that both agree
on this grammar is a property of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from policy_evaluator import quickly
from policy_writing import ACTION, allow, ask, deny, document, throttle

from cigate import cel
from cigate.decision import Decision, Effect, Reservation
from cigate.errors import PolicyError
from cigate.facts import Facts
from cigate.policy import PolicyEngine
from cigate.policy.absence import Outcome
from cigate.policy.exact import verdicts

STRENGTH = {Effect.ALLOW: 0, Effect.THROTTLE: 1, Effect.REQUIRE_APPROVAL: 2, Effect.DENY: 3}
NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)

quick = settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.filter_too_much,
        HealthCheck.function_scoped_fixture,
    ],
)

# --- policies -------------------------------------------------------------------------------------------------

PLAIN = st.sampled_from(
    [
        "agent.managed",
        "agent.trusted",
        "risk.score < 30",
        "risk.score + cost.estimate > 40",
        "cost.estimate <= risk.score",
        'user.team == "qa"',
        '"sre" in user.roles',
        'user.roles.exists(r, r == "lead")',
        "user.roles.all(r, r != user.team)",
        "device.posture.ok",
        "device.posture.ok == true",
        "device.posture.age > 30",
        "device.posture.age != 7",
        "device.posture.age in [3, 7]",
        "history.runs == history.fails",
        'parameters.ref == "main"',
        "(agent.managed ? risk.score : cost.estimate) > 20",
        "(parameters.count < 3 ? agent.managed : agent.trusted)",
        "cel.bind(s, risk.score, s > 10 && s != cost.estimate)",
        "user.roles.exists(i, r, i > 0 && r == user.team)",
        "cel.bind(a, device.posture.age, a == 7)",
        "variables.calm",
        "variables.fresh",
        "true",
        "false",
    ]
)
PRESENT = st.sampled_from(
    [
        "has(device.posture)",
        "has(device.posture.ok)",
        "has(device.posture.age)",
        "has(parameters.ref)",
        "has(history.runs)",
        "has(risk.score)",
        '"count" in parameters',
        "size(history) > 0",
        "device.posture != {}",
        "device.posture.?ok.orValue(false)",
        'device.?posture["ok"].orValue(false)',
        "!device.posture.?ok.orValue(true)",
        "parameters.?ref.hasValue()",
        "variables.described",
    ]
)
VARIABLES = {
    "calm": "risk.score < 50 && cost.estimate < 50",
    "fresh": "variables.calm || device.posture.age < 10",
    "described": "has(parameters.ref) && (has(parameters.count) || variables.calm)",
}


def expressions(opens: bool, *, any_sign: bool = False) -> st.SearchStrategy[str]:
    """Expressions whose presence tests have the sign that loads; with `any_sign` many have the wrong one."""

    def signed(positive: bool, depth: int) -> st.SearchStrategy[str]:
        kept, turned_about = PRESENT, PRESENT.map(lambda test: f"!({test})")
        tests = st.one_of(kept, turned_about) if any_sign else kept if positive else turned_about
        if depth == 0:
            return st.one_of(PLAIN, tests)
        part = st.deferred(lambda: signed(positive, depth - 1))
        turned = st.deferred(lambda: signed(not positive, depth - 1))
        both = st.tuples(part, st.sampled_from(["&&", "||"]), part)
        return st.one_of(
            PLAIN,
            both.map(lambda e: f"({e[0]} {e[1]} {e[2]})"),
            st.tuples(tests, st.sampled_from(["&&", "||"]), part).map(lambda e: f"({e[0]} {e[1]} {e[2]})"),
            turned.map(lambda text: f"!({text})"),
        )

    return signed(opens, 2)


def rules_of(
    *, any_sign: bool
) -> tuple[st.SearchStrategy[dict[str, Any]], st.SearchStrategy[dict[str, Any]]]:
    """Allow rules, and rules that restrict."""
    restricting = st.one_of(expressions(False, any_sign=any_sign), st.just("true"))
    restrictions = st.one_of(
        restricting.map(deny),
        st.builds(
            lambda text, count, roles: ask(text, count=count, roles=roles),
            restricting,
            st.integers(1, 2),
            st.sampled_from([[], ["sre"]]),
        ),
        st.builds(
            lambda text, key: throttle(text, key=key),
            restricting,
            st.sampled_from([None, [], ["agent.id"], ["user.id", "action"]]),
        ),
    )
    return expressions(True, any_sign=any_sign).map(allow), restrictions


def policies_of(*, any_sign: bool) -> st.SearchStrategy[list[dict[str, Any]]]:
    """One rule that opens, most often, so that the others can be seen to shut; and one to three of those."""
    allows, restrictions = rules_of(any_sign=any_sign)
    others = st.lists(st.one_of(allows, restrictions), min_size=1, max_size=3)
    return st.tuples(st.one_of(st.just(allow()), st.just(allow()), allows), others).map(
        lambda pair: [pair[0], *pair[1]]
    )


restrictions = rules_of(any_sign=False)[1]
policies = policies_of(any_sign=False)


def loaded(rules: list[dict[str, Any]]) -> PolicyEngine:
    return PolicyEngine.from_yaml(document(*rules, variables=VARIABLES))


# --- facts ----------------------------------------------------------------------------------------------------


def some(**each: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A group of which at most two members are unknown, so that most documents are nearly whole."""

    def some_left_out(found: dict[str, Any], unknown: set[str]) -> dict[str, Any]:
        return {name: value for name, value in found.items() if name not in unknown}

    unknown = st.one_of(st.just(set()), st.sets(st.sampled_from(sorted(each)), max_size=2))
    return st.builds(some_left_out, st.fixed_dictionaries(each), unknown)


count = st.sampled_from([0, 3, 7, 20, 40])
names = st.sampled_from(["alice", "bob", "carol"])
approvals = st.lists(
    st.fixed_dictionaries(
        {"user": names, "roles": st.sampled_from([["sre"], ["lead"], []])},
        optional={"at": st.sampled_from(["2026-11-24T07:45:00Z", "2026-11-24T07:00:00Z"])},
    ),
    max_size=3,
)
documents = some(
    now=st.just("2026-11-24T08:00:00Z"),
    agent=some(id=st.just("agent-1"), managed=st.booleans(), trusted=st.booleans()),
    user=some(
        id=names, team=st.sampled_from(["qa", "web"]), roles=st.lists(st.sampled_from(["sre", "lead"]))
    ),
    device=some(id=st.just("laptop-1"), posture=some(ok=st.booleans(), age=count)),
    risk=some(score=count),
    cost=some(estimate=count),
    budget=some(remaining=count),
    history=some(runs=count, fails=count),
    parameters=some(ref=st.sampled_from(["main", "dev"]), count=count),
    approvals=approvals,
).map(lambda found: {"action": ACTION, **found})


def paths(document: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Every fact and every group of facts that is there."""
    for name, value in document.items():
        yield f"{above}{name}"
        if isinstance(value, Mapping):
            yield from paths(value, f"{above}{name}.")


# --- the small evaluator ----------------------------------------------------------------------


@pytest.fixture
def quick_evaluator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cel.Program, "__call__", quickly)


@settings(quick, max_examples=150)
@given(expression=expressions(True), document_=documents)
def test_the_small_evaluator_and_the_real_one_agree(expression: str, document_: dict[str, Any]) -> None:
    facts = Facts.of(document_)
    for compiled in loaded([allow(expression)])._compiled:
        assert compiled.program is not None
        try:
            real = compiled.program(facts.document)
        except cel.EvaluationError:
            real = "none"
        try:
            small = quickly(compiled.program, facts.document)
        except cel.EvaluationError:
            small = "none"
        assert (type(real), real) == (type(small), small)


# --- the properties -------------------------------------------------------------------------------------------


def assert_no_more_open(after: Decision, before: Decision, what: str) -> None:
    assert STRENGTH[after.effect] >= STRENGTH[before.effect], f"{what}: {before} became {after}"
    if after.effect is before.effect is Effect.ALLOW:
        kept = {(type(take), take.rule) for take in after.takes if not isinstance(take, Reservation)}
        for take in before.takes:
            assert isinstance(take, Reservation) or (type(take), take.rule) in kept, f"{what} dropped {take}"
    if after.effect is before.effect is Effect.REQUIRE_APPROVAL:
        wanted = {want.rule: want.count for want in after.wants}
        assert all(wanted.get(want.rule, 0) >= want.count for want in before.wants), what


def loaded_if_it_may(rules: list[dict[str, Any]]) -> PolicyEngine:
    try:
        return loaded(rules)
    except PolicyError as error:
        assume(error.code != "policy.presence")
        raise


@pytest.mark.usefixtures("quick_evaluator")
@quick
@given(rules=st.one_of(policies, policies_of(any_sign=True)), document_=documents)
def test_promise_no_fact_that_goes_missing_opens_anything(
    rules: list[dict[str, Any]], document_: dict[str, Any]
) -> None:
    engine = loaded_if_it_may(rules)
    facts = Facts.of(document_)
    before = engine.decide(facts)
    for path in paths(document_):
        assert_no_more_open(engine.decide(facts.without(path)), before, f"{rules} without {path}")


def is_read(path: str, read: set[str]) -> bool:
    return any(path == one or path.startswith(f"{one}.") or one.startswith(f"{path}.") for one in read)


@pytest.mark.usefixtures("quick_evaluator")
@quick
@given(rules=policies_of(any_sign=True), ignoring=st.sets(st.integers(0, 3), min_size=1), document_=documents)
def test_a_fact_that_goes_missing_opens_only_through_a_rule_that_reads_it_and_ignores_the_unknown(
    rules: list[dict[str, Any]], ignoring: set[int], document_: dict[str, Any]
) -> None:
    engine = loaded_if_it_may(
        [{**rule, "on_unknown": "ignore"} if at in ignoring else rule for at, rule in enumerate(rules)]
    )
    read: set[str] = set()
    for one in engine._compiled:
        if one.rule.ignores_unknown and one.program is not None:
            read.update(one.program.references)
    facts = Facts.of(document_)
    before = engine.decide(facts)
    for path in paths(document_):
        if not is_read(path, read):
            assert_no_more_open(engine.decide(facts.without(path)), before, f"{rules} without {path}")


@pytest.mark.usefixtures("quick_evaluator")
@quick
@given(
    rules=policies,
    expression=PLAIN,
    kind=st.sampled_from([allow, deny, ask, throttle]),
    document_=documents,
)
def test_a_rule_that_ignores_an_unknown_fact_decides_nothing_then_and_as_ever_otherwise(
    rules: list[dict[str, Any]],
    expression: str,
    kind: Callable[..., dict[str, Any]],
    document_: dict[str, Any],
) -> None:
    strict = loaded([*rules, kind(expression, name="last")])
    ignoring = loaded([*rules, kind(expression, name="last", on_unknown="ignore")])
    facts = Facts.of(document_)
    last = verdicts(strict, facts)[-1]
    unknown = last.outcome is Outcome.ERROR and last.why.startswith("cel.no-such-field")
    wanted = (loaded(rules) if unknown else strict).decide(facts)
    found = ignoring.decide(facts)
    for part in ("effect", "code", "rules", "reasons", "wants", "takes"):
        assert getattr(found, part) == getattr(wanted, part), part


WRONG: list[Any] = ["text", True, 5, timedelta(minutes=1), NOW]


@pytest.mark.usefixtures("quick_evaluator")
@quick
@given(rules=policies, document_=documents, wrong=st.sampled_from(WRONG))
def test_no_fact_of_a_wrong_type_opens_anything(
    rules: list[dict[str, Any]], document_: dict[str, Any], wrong: Any
) -> None:
    engine = loaded(rules)
    facts = Facts.of(document_)
    before = engine.decide(facts)
    for path in paths(document_):
        if type(facts.get(path)) is not type(wrong) and path != "now":
            after = engine.decide(facts.including(path, wrong))
            assert_no_more_open(after, before, f"{rules} with {path} = {wrong!r}")


@pytest.mark.usefixtures("quick_evaluator")
@quick
@given(rules=policies, document_=documents, data=st.data())
def test_the_order_of_rules_decides_nothing(
    rules: list[dict[str, Any]], document_: dict[str, Any], data: st.DataObject
) -> None:
    named = [{"name": f"rule-{at}", **rule} for at, rule in enumerate(rules)]
    first = loaded(named).decide(document_)
    other = loaded(data.draw(st.permutations(named))).decide(document_)
    assert (first.effect, first.code, first.obligations) == (other.effect, other.code, other.obligations)
    for part in ("rules", "takes", "wants", "reasons"):
        assert set(getattr(first, part)) == set(getattr(other, part))


@pytest.mark.usefixtures("quick_evaluator")
@quick
@given(rules=policies, more=restrictions, document_=documents)
def test_adding_any_rule_but_an_allow_never_opens_anything(
    rules: list[dict[str, Any]], more: dict[str, Any], document_: dict[str, Any]
) -> None:
    before, after = loaded(rules).decide(document_), loaded([*rules, more]).decide(document_)
    assert_no_more_open(after, before, f"{rules} and {more}")


@settings(quick, max_examples=200)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["*", "allow", "a", "true", "1h"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "name",
                        "effect",
                        "actions",
                        "expression",
                        "approval",
                        "throttle",
                        "count",
                        "limit",
                        "per",
                        "key",
                    ]
                ),
                inner,
                max_size=5,
            )
        ),
        max_leaves=12,
    )
)
def test_whatever_stands_for_a_rule_loads_or_is_a_typed_error(rule: Any) -> None:
    text = json.dumps(
        {
            "apiVersion": "cigate/v1",
            "kind": "GatewayPolicy",
            "metadata": {"name": "p", "sequence": 1},
            "spec": {"rules": [rule]},
        }
    )
    try:
        PolicyEngine.from_yaml(text)
    except PolicyError as error:
        refused = error
    else:
        return
    assert refused.code.startswith("policy.")
    assert refused.where.startswith("policy.yaml:1:")
