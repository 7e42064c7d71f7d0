"""A policy loads whole or not at all, and what is wrong with it is named with its place."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from policy_writing import allow, ask, document, policy

from cigate.decision import Effect, Obligations
from cigate.errors import PolicyError
from cigate.facts import FactType, Schema
from cigate.policy import PolicyEngine

HEAD = """\
apiVersion: cigate/v1
kind: GatewayPolicy
metadata: {name: desktop-agents, sequence: 7}
spec:
"""

DESIGN = (
    HEAD
    + """\
  variables:
    - name: cheap
      expression: cost.estimate <= 5000          # minor units of cost.currency
  rules:
    - name: managed-agents-run-tests
      effect: allow
      actions: [run-test-suite]                  # required on allow; ["*"] says all
      expression: agent.managed && variables.cheap
      message: managed agents may run test suites
    - name: trusted-agents-create-infra
      effect: allow
      actions: [create-infra]
      expression: agent.trusted
      obligations: {ttl_max: 5m, isolation: sandbox}
    - name: infra-needs-a-person
      effect: require_approval                   # gates what an allow rule opened
      actions: [create-infra]
      approval: {count: 1, roles: [sre], ttl: 30m}
    - name: at-most-ten-an-hour
      effect: throttle
      actions: [run-test-suite]
      throttle: {limit: 10, per: 1h, key: [agent.id]}
    - name: quarantine
      effect: deny
      expression: risk.score >= 80
      messageExpression: '"risk " + string(risk.score) + " is above 79"'
"""
)

ACTIONS = Schema.default().with_actions(
    {
        "run-test-suite": {"shards": FactType.INT, "suite": FactType.STRING},
        "create-infra": {"size": FactType.INT, "shards": FactType.STRING},
    }
)


def test_the_example_of_the_design_loads_as_it_is_written() -> None:
    engine = PolicyEngine.from_yaml(DESIGN, ACTIONS)
    assert (engine.name, engine.sequence) == ("desktop-agents", 7)
    assert [rule.effect for rule in engine.rules] == [
        Effect.ALLOW,
        Effect.ALLOW,
        Effect.REQUIRE_APPROVAL,
        Effect.THROTTLE,
        Effect.DENY,
    ]
    infra, person, throttle = engine.rules[1:4]
    assert infra.obligations == Obligations(timedelta(minutes=5), "sandbox")
    assert person.approval is not None
    assert (person.approval.count, person.approval.roles) == (1, ("sre",))
    assert throttle.throttle is not None
    assert (throttle.throttle.limit, throttle.throttle.key) == (10, ("agent.id",))


def test_json_and_yaml_of_the_same_policy_have_one_digest_and_another_policy_another() -> None:
    from cigate.wire import yamldoc

    same = json.dumps(yamldoc.parse(DESIGN, "p").value, indent=3)
    first = PolicyEngine.from_yaml(DESIGN)
    assert first.digest == PolicyEngine.from_yaml(same).digest
    assert first.digest.startswith("sha256:")
    assert first.digest != PolicyEngine.from_yaml(DESIGN.replace("sequence: 7", "sequence: 8")).digest


def test_a_policy_loads_from_a_file_and_errors_carry_its_name(tmp_path: Path) -> None:
    path = tmp_path / "agents.yaml"
    path.write_text(DESIGN)
    assert PolicyEngine.from_path(path).text == DESIGN
    path.write_text(DESIGN.replace("effect: deny", "effect: dney"))
    with pytest.raises(PolicyError) as caught:
        PolicyEngine.from_path(path)
    assert str(caught.value).startswith(f"{path}:28:15: policy.type: ")
    assert "did you mean deny?" in str(caught.value)
    with pytest.raises(PolicyError) as caught:
        PolicyEngine.from_path(tmp_path / "none.yaml")
    assert caught.value.code == "policy.unreadable"


# Each: the spec below HEAD (which is four lines), where the error is, its code, and a word of what it says.
WRONG = {
    "a misspelt key": (
        "  rules:\n    - name: a\n      effect: deny\n      expresion: agent.managed\n",
        "8:7",
        "policy.unknown-key",
        "did you mean expression?",
    ),
    "a doubled key": (
        "  rules:\n    - name: a\n      effect: deny\n      effect: allow\n",
        "8:7",
        "policy.duplicate-key",
        "effect",
    ),
    "yaml that is none": ("  rules: [\n", "6:1", "policy.syntax", ""),
    "an unknown effect": (
        "  rules:\n    - {name: a, effect: forbid}\n",
        "6:25",
        "policy.type",
        "deny",
    ),
    "an allow rule without an expression": (
        "  rules:\n    - {name: a, effect: allow, actions: ['*']}\n",
        "6:7",
        "policy.missing-key",
        "expression",
    ),
    "an allow rule without actions": (
        "  rules:\n    - {name: a, effect: allow, expression: agent.managed}\n",
        "6:7",
        "policy.missing-key",
        "actions",
    ),
    "no action at all": (
        "  rules:\n    - {name: a, effect: deny, actions: []}\n",
        "6:40",
        "policy.actions",
        '["*"] says all',
    ),
    "all actions beside one": (
        "  rules:\n    - {name: a, effect: deny, actions: ['*', run-test-suite]}\n",
        "6:40",
        "policy.actions",
        "beside",
    ),
    "an action that does not exist": (
        "  rules:\n    - {name: a, effect: deny, actions: [run-test-suit]}\n",
        "6:41",
        "policy.unknown-action",
        "did you mean run-test-suite?",
    ),
    "an approval without a count": (
        "  rules:\n    - {name: a, effect: require_approval, approval: {roles: [sre]}}\n",
        "6:53",
        "policy.missing-key",
        "count",
    ),
    "an approval of nobody": (
        "  rules:\n    - {name: a, effect: require_approval, approval: {count: 0}}\n",
        "6:61",
        "policy.range",
        "",
    ),
    "no approval clause": (
        "  rules:\n    - {name: a, effect: require_approval}\n",
        "6:7",
        "policy.missing-key",
        "approval",
    ),
    "an approval clause on a deny rule": (
        "  rules:\n    - {name: a, effect: deny, approval: {count: 1}}\n",
        "6:41",
        "policy.misplaced",
        "require_approval",
    ),
    "a throttle clause on an allow rule": (
        "  rules:\n"
        "    - {name: a, effect: allow, actions: ['*'], expression: true, throttle: {limit: 1, per: 1s}}\n",
        "6:76",
        "policy.misplaced",
        "throttle",
    ),
    "an empty bucket": (
        "  rules:\n    - {name: a, effect: throttle, throttle: {limit: 0, per: 1h}}\n",
        "6:53",
        "policy.range",
        "",
    ),
    "a bucket that never refills": (
        "  rules:\n    - {name: a, effect: throttle, throttle: {limit: 1, per: 0s}}\n",
        "6:61",
        "policy.duration",
        "",
    ),
    "a bucket named after a claim": (
        "  rules:\n    - {name: a, effect: throttle, throttle: {limit: 1, per: 1h, key: [agent.version]}}\n",
        "6:71",
        "policy.range",
        "agent.id",
    ),
    "an unknown obligation": (
        "  rules:\n    - {name: a, effect: deny, obligations: {ttl_min: 5m}}\n",
        "6:45",
        "policy.unknown-key",
        "did you mean ttl_max?",
    ),
    "an unknown isolation": (
        "  rules:\n    - {name: a, effect: deny, obligations: {isolation: vm}}\n",
        "6:56",
        "policy.range",
        "sandbox",
    ),
    "an unknown advice": (
        "  rules:\n    - {name: a, effect: deny, advice: {notfy: [sre]}}\n",
        "6:40",
        "policy.unknown-key",
        "did you mean notify?",
    ),
    "on_unknown with another word": (
        "  rules:\n    - {name: a, effect: deny, on_unknown: deny}\n",
        "6:43",
        "policy.range",
        "ignore",
    ),
    "two rules with one name": (
        "  rules:\n    - {name: a, effect: deny}\n    - {name: a, effect: deny}\n",
        "7:14",
        "policy.duplicate-name",
        "6:14",
    ),
    "two variables with one name": (
        "  variables:\n"
        "    - {name: v, expression: 'true'}\n"
        "    - {name: v, expression: 'true'}\n"
        "  rules: []\n",
        "7:14",
        "policy.duplicate-name",
        "6:14",
    ),
    "a variable that comes later": (
        "  variables:\n"
        "    - {name: v, expression: variables.w}\n"
        "    - {name: w, expression: 'true'}\n"
        "  rules: []\n",
        "6:38",
        "policy.variable",
        "a variable reads only those above it",
    ),
    "a variable of itself": (
        "  variables:\n"
        "    - {name: u, expression: 'true'}\n"
        "    - {name: v, expression: '!variables.v'}\n"
        "  rules: []\n",
        "7:40",
        "policy.variable",
        "a variable reads only those above it",
    ),
    "a variable that does not exist": (
        "  variables:\n"
        "    - {name: u, expression: 'true'}\n"
        "    - {name: v, expression: '!variables.w'}\n"
        "  rules: []\n",
        "7:40",
        "policy.unknown-field",
        "'w'",
    ),
    "a variable that is tested for": (
        "  variables:\n"
        "    - {name: v, expression: 'true'}\n"
        "  rules:\n"
        "    - {name: a, effect: deny, expression: '!has(variables.v)'}\n",
        "8:49",
        "policy.variable",
        "variables.NAME",
    ),
    "a loop variable that hides a fact": (
        "  rules:\n    - {name: a, effect: deny, expression: 'user.roles.exists(agent, agent == \"x\")'}\n",
        "6:55",
        "policy.shadowed-name",
        "agent",
    ),
    "a second loop variable that hides a fact": (
        "  rules:\n    - {name: a, effect: deny, expression: 'user.roles.exists(i, agent, agent == \"x\")'}\n",
        "6:55",
        "policy.shadowed-name",
        "agent",
    ),
    "a binding that hides a fact": (
        "  rules:\n    - {name: a, effect: deny, expression: 'cel.bind(agent, 1, agent == 2)'}\n",
        "6:48",
        "policy.shadowed-name",
        "agent",
    ),
    "a binding that hides a library": (
        "  rules:\n    - {name: a, effect: deny, expression: 'cel.bind(math, 1, math == 2)'}\n",
        "6:48",
        "policy.shadowed-name",
        "library",
    ),
    "an optional of an open fact, compared": (
        "  rules:\n    - name: a\n      effect: deny\n      on_unknown: ignore\n"
        "      expression: device.posture.?ok == optional.of(false)\n",
        "9:38",
        "policy.type",
        "compare the fact itself",
    ),
    "a misspelt fact, plain": (
        "  rules:\n    - name: a\n      effect: deny\n      expression: agent.manged\n",
        "8:24",
        "policy.unknown-field",
        "managed",
    ),
    "a misspelt fact, quoted": (
        "  rules:\n    - name: a\n      effect: deny\n      expression: '!agent.manged'\n",
        "8:26",
        "policy.unknown-field",
        "managed",
    ),
    "a misspelt fact, in a literal block": (
        "  rules:\n"
        "    - name: a\n"
        "      effect: deny\n"
        "      expression: |\n"
        "        agent.managed &&\n"
        "          agent.manged\n",
        "10:16",
        "policy.unknown-field",
        "managed",
    ),
    "a misspelt fact, in a folded block": (
        "  rules:\n"
        "    - name: a\n"
        "      effect: deny\n"
        "      expression: >\n"
        "        agent.managed &&\n"
        "        agent.manged\n",
        "8:19",
        "policy.unknown-field",
        "managed",
    ),
    "an expression that does not parse": (
        "  rules:\n    - name: a\n      effect: deny\n      expression: agent.managed &&\n",
        "8:35",
        "policy.syntax",
        "",
    ),
    "an expression that is no bool": (
        "  rules:\n    - name: a\n      effect: deny\n      expression: risk.score\n",
        "8:19",
        "policy.type",
        "must give bool",
    ),
    "a message that is no text": (
        "  rules:\n    - name: a\n      effect: deny\n      messageExpression: risk.score\n",
        "8:26",
        "policy.type",
        "must give string",
    ),
    "two types that never fit": (
        "  rules:\n    - name: a\n      effect: deny\n      expression: risk.score == 'high'\n",
        "8:30",
        "policy.type",
        "",
    ),
    "a presence test that lifts a deny": (
        "  rules:\n    - name: a\n      effect: deny\n      expression: has(device.posture.age)\n",
        "8:19",
        "policy.presence",
        "!has(device.posture.age) || …",
    ),
    "rules that are no list": ("  rules: {name: a}\n", "5:10", "policy.type", "list"),
    "no rules": ("  variables: []\n", "5:3", "policy.missing-key", "rules"),
    "a name with a line break": (
        '  rules:\n    - {name: "a\\nb", effect: deny}\n',
        "6:14",
        "policy.name",
        "\\u000a",
    ),
    "a parameter that no action of the rule takes": (
        "  rules:\n"
        "    - {name: a, effect: deny, actions: [run-test-suite], expression: parameters.size > 3}\n",
        "6:80",
        "policy.unknown-field",
        "size",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named_with_its_place(case: str) -> None:
    spec, place, code, word = WRONG[case]
    with pytest.raises(PolicyError) as caught:
        PolicyEngine.from_yaml(HEAD + spec, ACTIONS, "p.yaml")
    assert (caught.value.where, caught.value.code) == (f"p.yaml:{place}", code), str(caught.value)
    assert word in str(caught.value)


@pytest.mark.parametrize(
    ("head", "place", "code"),
    [
        (HEAD.replace("cigate/v1", "cigate/v2"), "1:13", "policy.kind"),
        (HEAD.replace("kind: GatewayPolicy", "kind: Policy"), "2:7", "policy.kind"),
        (HEAD.replace("sequence: 7", "sequence: -1"), "3:44", "policy.range"),
        (HEAD.replace("sequence: 7", "sequence: true"), "3:44", "policy.type"),
        (HEAD.replace("sequence: 7", "sequence: '7'"), "3:44", "policy.type"),
        (HEAD.replace(", sequence: 7", ""), "3:11", "policy.missing-key"),
        (HEAD.replace("name: desktop-agents, ", ""), "3:11", "policy.missing-key"),
        (HEAD.replace("kind: GatewayPolicy\n", ""), "1:1", "policy.missing-key"),
    ],
)
def test_the_head_of_a_policy_is_read_as_strictly(head: str, place: str, code: str) -> None:
    with pytest.raises(PolicyError) as caught:
        PolicyEngine.from_yaml(head + "  rules: []\n", name="p.yaml")
    assert (caught.value.where, caught.value.code) == (f"p.yaml:{place}", code)


@pytest.mark.parametrize("text", ["", "[]", "null", "just words", "{}", "a: &x 1\nb: *x", "---\n---\n"])
def test_what_is_no_policy_is_refused_with_a_typed_error(text: str) -> None:
    with pytest.raises(PolicyError):
        PolicyEngine.from_yaml(text)


def test_a_bare_true_is_an_expression_and_an_approval_lasts_half_an_hour_unless_it_says_otherwise() -> None:
    engine = PolicyEngine.from_yaml(
        HEAD + "  rules:\n    - {name: a, effect: allow, actions: ['*'], expression: true}\n"
    )
    assert engine.rules[0].expression == "true"
    [rule] = policy(ask(count=2)).rules
    assert rule.approval is not None
    assert (rule.approval.ttl, rule.approval.roles) == (timedelta(minutes=30), ())


def test_parameters_are_typed_by_the_actions_that_a_rule_names() -> None:
    policy(allow("parameters.shards > 3", actions=["run-test-suite"]), schema=ACTIONS)
    policy(allow('parameters.shards == "3"', actions=["create-infra"]), schema=ACTIONS)
    with pytest.raises(PolicyError, match=r"policy\.type"):
        policy(allow("parameters.shards > 3", actions=["create-infra"]), schema=ACTIONS)
    # Where two actions disagree about a type, it is known at evaluation only.
    policy(allow("parameters.shards > 3"), schema=ACTIONS)


def test_variables_that_multiply_are_refused_before_they_fill_the_memory() -> None:
    doubling = {"v0": "agent.managed && agent.trusted"}
    doubling |= {f"v{at}": f"variables.v{at - 1} && !variables.v{at - 1}" for at in range(1, 60)}
    with pytest.raises(PolicyError) as caught:
        PolicyEngine.from_yaml(document(allow("variables.v59"), variables=doubling))
    assert caught.value.code == "policy.too-large"


def test_a_long_chain_of_variables_is_refused_before_it_fills_the_stack() -> None:
    chain = {"v0": "agent.managed"} | {f"v{at}": f"!variables.v{at - 1}" for at in range(1, 190)}
    with pytest.raises(PolicyError) as caught:
        policy(allow("variables.v189"), variables=chain)
    assert caught.value.code == "policy.too-large"


@pytest.mark.parametrize(
    "expression", ["!" * 2000 + "agent.managed", "(" * 300 + "agent.managed" + ")" * 300, "a" * 20_000]
)
def test_an_expression_that_is_too_much_is_refused_when_the_policy_loads(expression: str) -> None:
    with pytest.raises(PolicyError):
        policy(deny_with(expression))


def deny_with(expression: str) -> dict[str, str]:
    return {"effect": "deny", "expression": expression}
