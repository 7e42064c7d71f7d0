"""A policy may be large: it is read whole, its errors have their places, and little of it stays in memory."""

from __future__ import annotations

import gc
import json
import tracemalloc
from time import process_time
from types import FunctionType, ModuleType
from typing import Any

import pytest
from policy_writing import allow, ask, deny, document, throttle

from cigate.errors import PolicyError
from cigate.policy import PolicyEngine
from cigate.policy.loading.reading import MOST_RULES, Source, read
from cigate.wire.yamldoc import Document


def rules(count: int) -> list[dict[str, Any]]:
    """Rules as people write them: of all effects, with clauses, about five hundred actions."""
    kinds = (
        lambda at: allow(
            f"agent.managed && risk.score < {at % 90}", obligations={"ttl_max": f"{at % 50 + 1}m"}
        ),
        lambda at: deny(
            f"user.team == 'team-{at % 300}' && cost.estimate > {at}", advice={"notify": ["sre"]}
        ),
        lambda at: ask(f"risk.score >= {at % 90}", roles=["sre", "security"]),
        lambda at: throttle(key=["agent.id"]),
    )
    return [
        kinds[at % 4](at)
        | {"actions": [f"action-{at % 500}", f"action-{at % 499 + 500}"]}
        | {"name": f"rule-{at:05}-of-the-policy", "message": f"what people read of the rule number {at}"}
        for at in range(count)
    ]


def as_yaml(text: str) -> str:
    """The same document, its rules in block style: a key a line, and its value in flow style."""
    found = json.loads(text)
    lines = [f"{key}: {json.dumps(found[key])}" for key in ("apiVersion", "kind", "metadata")]
    lines += ["spec:", "  rules:"]
    for rule in found["spec"]["rules"]:
        pairs = [f"{key}: {json.dumps(value)}" for key, value in rule.items()]
        lines += [f"    - {pairs[0]}", *(f"      {pair}" for pair in pairs[1:])]
    return "\n".join(lines) + "\n"


def test_twenty_thousand_rules_are_read_alike_as_yaml_and_as_json() -> None:
    text = document(*rules(MOST_RULES))
    assert len(text) > 4_000_000
    from_json, _ = read(text, "p.json", actions=None)
    from_yaml, _ = read(as_yaml(text), "p.yaml", actions=None)
    assert len(from_json.rules) == MOST_RULES
    assert from_json == from_yaml


def test_more_rules_than_that_are_refused() -> None:
    with pytest.raises(PolicyError) as caught:
        read(document(*({"effect": "deny"} for _ in range(MOST_RULES + 1))), "p", actions=None)
    assert caught.value.code == "policy.too-large"


def test_an_error_in_the_last_of_many_rules_has_its_place() -> None:
    text = as_yaml(document(*rules(1000), {"name": "last", "effect": "deny", "mesage": "no"}))
    with pytest.raises(PolicyError) as caught:
        read(text, "p.yaml", actions=None)
    line = text.splitlines().index('      mesage: "no"') + 1
    assert (caught.value.code, caught.value.where) == ("policy.unknown-key", f"p.yaml:{line}:7")


@pytest.mark.parametrize("write", [str, as_yaml])
def test_rules_that_were_read_take_less_than_a_kilobyte_each(write: Any) -> None:
    text = write(document(*rules(1000)))
    read(text, "p", actions=None)
    gc.collect()
    tracemalloc.start()
    try:
        found, source = read(text, "p", actions=None)
        del source
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] / len(found.rules) < 1000
    finally:
        tracemalloc.stop()


def test_what_rules_say_alike_is_kept_once() -> None:
    found, _ = read(document(*rules(2100)), "p", actions=None)
    first, again = found.rules[1], found.rules[1 + 500 * 4]
    assert (first.advice, first.obligations) == (again.advice, again.obligations)
    assert first.advice is again.advice
    assert first.obligations is again.obligations
    throttled = [rule.throttle for rule in found.rules[3::4]]
    assert all(each is throttled[0] for each in throttled)


def test_a_loaded_policy_keeps_nothing_that_only_its_errors_needed() -> None:
    engine = PolicyEngine.from_yaml(as_yaml(document(*rules(20))))
    assert [each for each in reachable(engine) if isinstance(each, Source | Document)] == []


def reachable(root: object) -> list[object]:
    """Every object that one keeps alive, but for code and what modules keep."""
    found: dict[int, object] = {}
    ahead = [root]
    while ahead:
        one = ahead.pop()
        if id(one) in found or isinstance(one, type | ModuleType):
            continue
        found[id(one)] = one
        inside = (
            (one.__closure__, one.__defaults__) if isinstance(one, FunctionType) else gc.get_referents(one)
        )
        ahead += inside
    return list(found.values())


def test_a_rule_of_very_many_actions_is_read_in_proportion_to_them() -> None:
    many = ",".join(f'"a{at}"' for at in range(50_000))
    text = document(allow()).replace('["*"]', f"[{many}]")
    assert many in text
    began = process_time()
    assert PolicyEngine.from_yaml(text).decide({"action": "a49999"}).effect == "allow"
    assert process_time() - began < 5.0
