"""What holds for every policy that loads and for all facts.

The crown is the first: whatever fact goes missing, nothing opens. Policies are drawn from a grammar that is rich
in presence tests, and every fact of every document is taken away in turn.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from policy_documents import NOW, documents, paths
from policy_grammar import loaded, plain, policies, policies_of, restrictions
from policy_writing import allow, ask, deny, throttle

from cigate.decision import Decision, Effect, Reservation
from cigate.errors import PolicyError
from cigate.facts import Facts
from cigate.policy import PolicyEngine
from cigate.policy.absence import Outcome
from cigate.policy.exact import verdicts

STRENGTH = {Effect.ALLOW: 0, Effect.THROTTLE: 1, Effect.REQUIRE_APPROVAL: 2, Effect.DENY: 3}

quick = settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


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
        assume(error.code not in ("policy.presence", "policy.type"))
        raise


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


@quick
@given(
    rules=policies,
    expression=plain,
    kind=st.sampled_from([allow, deny, ask, throttle]),
    document_=documents,
)
def test_a_rule_that_ignores_an_unknown_fact_decides_nothing_then_and_as_ever_otherwise(
    rules: list[dict[str, Any]],
    expression: str,
    kind: Callable[..., dict[str, Any]],
    document_: dict[str, Any],
) -> None:
    strict = loaded_if_it_may([*rules, kind(expression, name="last")])
    ignoring = loaded([*rules, kind(expression, name="last", on_unknown="ignore")])
    facts = Facts.of(document_)
    last = verdicts(strict, facts)[-1]
    unknown = last.outcome is Outcome.ERROR and last.why.startswith("cel.no-such-field")
    wanted = (loaded(rules) if unknown else strict).decide(facts)
    found = ignoring.decide(facts)
    for part in ("effect", "code", "rules", "reasons", "wants", "takes"):
        assert getattr(found, part) == getattr(wanted, part), part


WRONG: list[Any] = ["text", True, 5, timedelta(minutes=1), NOW]


@quick
@given(rules=policies, document_=documents, wrong=st.sampled_from(WRONG))
def test_no_fact_of_a_wrong_type_opens_anything(
    rules: list[dict[str, Any]], document_: dict[str, Any], wrong: Any
) -> None:
    engine = loaded_if_it_may(rules)
    facts = Facts.of(document_)
    before = engine.decide(facts)
    for path in paths(document_):
        if type(facts.get(path)) is not type(wrong) and path != "now":
            after = engine.decide(facts.including(path, wrong))
            assert_no_more_open(after, before, f"{rules} with {path} = {wrong!r}")


@quick
@given(rules=policies, document_=documents, data=st.data())
def test_the_order_of_rules_decides_nothing(
    rules: list[dict[str, Any]], document_: dict[str, Any], data: st.DataObject
) -> None:
    named = [{"name": f"rule-{at}", **rule} for at, rule in enumerate(rules)]
    first = loaded_if_it_may(named).decide(document_)
    other = loaded(data.draw(st.permutations(named))).decide(document_)
    assert (first.effect, first.code, first.obligations) == (other.effect, other.code, other.obligations)
    for part in ("rules", "takes", "wants", "reasons"):
        assert set(getattr(first, part)) == set(getattr(other, part))


@quick
@given(rules=policies, more=restrictions, document_=documents)
def test_adding_any_rule_but_an_allow_never_opens_anything(
    rules: list[dict[str, Any]], more: dict[str, Any], document_: dict[str, Any]
) -> None:
    before = loaded_if_it_may(rules).decide(document_)
    after = loaded_if_it_may([*rules, more]).decide(document_)
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
