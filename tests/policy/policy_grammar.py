"""Policies at random, for the properties of this room: every rule loads, or is refused for a presence test alone.

Expressions are built by type. Where a presence test may stand is a matter of sign: positive in a rule that allows,
negative in one that restricts, anywhere in one that ignores what is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from hypothesis import strategies as st
from policy_writing import ACTION, allow, ask, deny, policy, throttle

from cigate.facts import FactType, Schema
from cigate.policy import PolicyEngine

Texts = st.SearchStrategy[str]
Rule = dict[str, Any]
Rules = st.SearchStrategy[Rule]

OTHER = "deploy"
TYPED = Schema.default().with_actions(
    {
        ACTION: {"ref": FactType.STRING, "count": FactType.INT, "dry": FactType.BOOL, "own": FactType.STRING},
        OTHER: {
            "ref": FactType.STRING,
            "count": FactType.STRING,
            "dry": FactType.BOOL,
            "at": FactType.TIMESTAMP,
        },
    }
)
SCHEMAS = (Schema.default(), TYPED)
TEAMS = tuple(f"team-{at}" for at in range(12))

VARIABLES = {
    "calm": "risk.score < 50 && cost.estimate < 50",
    "fresh": "variables.calm || device.posture.age < 10",
    "described": "has(parameters.ref) && (has(parameters.dry) || variables.calm)",
}

# --- expressions ----------------------------------------------------------------------------------------------

OPEN_BOOLS = ("device.posture.ok", "parameters.dry")
OPEN_INTS = ("device.posture.age", "history.runs", "history.requests")
OPEN = (*OPEN_BOOLS, *OPEN_INTS, "runner.os")
INTS = ("risk.score", "cost.estimate", "budget.remaining", "attestation.level")
STRINGS = ("user.team", "user.id", "agent.id", "commit", "action", "cost.currency", "parameters.ref")
BOOLS = ("agent.managed", "agent.trusted", "device.managed")
TIMES = ("now", "risk.as_of", "budget.as_of")
LISTS = ("user.roles", "agent.capabilities", "risk.factors")
PARTS = ("FullYear", "Month", "Date", "DayOfMonth", "DayOfWeek", "DayOfYear", "Hours", "Minutes", "Seconds")

number = st.sampled_from(["0", "3", "7", "30", "-1", "100", "2026", str(2**53), str(2**62), str(2**63 - 1)])
text = st.sampled_from(
    ['"qa"', '"main"', '"alice"', '"sre"', '"lead"', '"EUR"', '""', '"é"', '"team-1"', f'"{ACTION}"']
)
truth = st.sampled_from(["true", "false"])
pattern = st.sampled_from(
    [
        "^qa$",
        "^(qa|main)$",
        "^team-",
        "a",
        "[a-z]+-[0-9]",
        "(?i)QA",
        "é",
        "^.$",
        "[^a]",
        "a.*i",
        "^$",
        "lice$",
    ]
)
moments = st.sampled_from(
    ["2026-11-24T07:45:00Z", "2026-11-24T08:00:00.5+01:00", "2026-11-24T08:00:00.000000001Z"]
)
spans = st.sampled_from(["10m", "1h30m", "-5s", "1ns", "1000000h"])
order = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])


def _of(form: str, *parts: Texts) -> Texts:
    return st.tuples(*parts).map(lambda found: form.format(*found))


ints: Texts = st.deferred(
    lambda: st.one_of(
        st.sampled_from(INTS),
        st.sampled_from(INTS),
        number,
        _of("({} {} {})", ints, st.sampled_from("+-*"), ints),
        _of("size({})", st.one_of(strings, lists)),
        _of("{}.size()", st.sampled_from(LISTS)),
        _of("{}.get{}()", times, st.sampled_from(PARTS)),
        _of("({} ? {} : {})", plain, ints, ints),
        _of("-{}", st.sampled_from(INTS)),
        _of("({} / {})", ints, ints),
    )
)
strings: Texts = st.deferred(
    lambda: st.one_of(
        st.sampled_from(STRINGS),
        st.sampled_from(STRINGS),
        text,
        _of("({} ? {} : {})", plain, strings, strings),
        _of("({} + {})", strings, text),
        _of("{}.lowerAscii()", st.sampled_from(STRINGS)),
    )
)
times: Texts = st.one_of(st.sampled_from(TIMES), moments.map('timestamp("{}")'.format))
durations = st.one_of(
    st.just("attestation.age"), spans.map('duration("{}")'.format), _of("({} - {})", times, times)
)
lists: Texts = st.sampled_from([*LISTS, '["sre", "qa"]'])
items = st.one_of(
    _of(
        "{{0}} {} {}".replace("{{0}}", "r"),
        st.sampled_from(["==", "!="]),
        st.one_of(text, st.sampled_from(STRINGS)),
    ),
    _of("r.{}({})", st.sampled_from(["startsWith", "endsWith", "contains"]), text),
    _of('r.matches("{}")', pattern),
    _of("size(r) > {}", number),
    _of("r in {}", lists),
    st.sampled_from(["r == user.team", "agent.managed"]) | st.just('r == "sre" || r < "q"'),
)
plain: Texts = st.deferred(
    lambda: st.one_of(
        st.sampled_from(BOOLS),
        truth,
        _of("{} {} {}", ints, order, ints),
        _of("{} {} {}", strings, order, strings),
        _of("{} {} {}", times, order, times),
        _of("{} {} {}", durations, order, durations),
        _of("{} {} {}", st.sampled_from(BOOLS), order, truth),
        _of("{} {} {}", st.sampled_from(OPEN_INTS), order, st.one_of(number, st.sampled_from(OPEN_INTS))),
        _of("{} {} {}", st.sampled_from(OPEN_BOOLS), order, truth),
        st.sampled_from(OPEN_BOOLS),
        _of("runner.os {} {}", order, text),
        _of("{} in [{}, {}]", strings, text, text),
        _of("{} in [{}, {}]", ints, number, number),
        _of("{} in [3, 7]", st.sampled_from(OPEN_INTS)),
        _of("{} in {}", text, lists),
        _of('{}.matches("{}")', strings, pattern),
        _of("{}.{}({})", strings, st.sampled_from(["startsWith", "endsWith", "contains"]), strings),
        _of("{}.{}(r, {})", lists, st.sampled_from(["exists", "all", "exists_one"]), items),
        _of("({} ? {} : {})", plain, plain, plain),
        st.sampled_from(
            ["variables.calm", "variables.fresh", "cel.bind(s, risk.score, s > 10 && s != cost.estimate)"]
        ),
    )
)
wild: Texts = st.one_of(
    _of("{} {} {}", st.sampled_from(OPEN), order, st.one_of(number, text, truth, st.sampled_from(OPEN))),
    _of("{} {} {}", st.one_of(number, text), order, st.sampled_from(OPEN)),
    _of("{} in [{}, {}]", st.sampled_from(OPEN), text, text),
    st.sampled_from(OPEN),
)
"""What takes an open fact for one of any type."""

PRESENT = (
    *(
        f"has({path})"
        for path in (*OPEN, "user.team", "risk.score", "attestation.age", "risk.as_of", "user.roles")
    ),
    *("has(parameters.ref)", "has(agent.managed)", "has(device.posture)", "has(runner.none)"),
    *('"dry" in parameters', "size(history) > 0", "device.posture != {}", "variables.described"),
    *("device.posture.?ok.orValue(false)", "!device.posture.?ok.orValue(true)", "parameters.?ref.hasValue()"),
)
present = st.sampled_from(PRESENT)


@cache
def expressions(positive: bool, *, any_sign: bool = False, leaf: Texts = plain, depth: int = 2) -> Texts:
    """Expressions whose presence tests have the sign that loads; with `any_sign` many have the wrong one."""
    turned = present.map("!({})".format)
    tests = st.one_of(present, turned) if any_sign else present if positive else turned
    if depth == 0:
        return st.one_of(leaf, tests)
    part = st.deferred(lambda: expressions(positive, any_sign=any_sign, leaf=leaf, depth=depth - 1))
    other = st.deferred(lambda: expressions(not positive, any_sign=any_sign, leaf=leaf, depth=depth - 1))
    signs = st.sampled_from(["&&", "||"])
    guarded = [f"(has({path}) && {test})" for path, test in GUARDED] if positive else ["true"]
    return st.one_of(
        leaf,
        _of("({} {} {})", part, signs, part),
        _of("({} {} {})", tests, signs, part),
        _of("!({})", other),
        st.sampled_from(guarded),
    )


GUARDED = (
    ("device.posture.age", "device.posture.age < 10"),
    ("parameters.ref", 'parameters.ref == "main"'),
    ("user.team", "user.team != user.id"),
    ("risk.as_of", 'now - risk.as_of < duration("1h")'),
    ("attestation.age", 'attestation.age <= duration("10m")'),
    ("user.roles", '"sre" in user.roles'),
    ("agent.managed", "agent.managed"),
)

# --- rules ----------------------------------------------------------------------------------------------------

keys = st.sampled_from([None, [], ["agent.id"], ["user.id", "action"], ["user.team"]])
PINS = (
    "{}",
    "{}",
    f'action == "{ACTION}" && {{}}',
    f'action in ["{OTHER}", "{ACTION}"] && {{}}',
    f'{{}} && "{OTHER}" == action',
    f'action == "{ACTION}" || {{}}',
    'action == "" || {}',
    'user.team in ["qa", "team-1"] && {}',
)
extras = st.fixed_dictionaries(
    {},
    optional={
        "messageExpression": st.sampled_from(['"for " + user.id', '"score " + string(risk.score)']),
        "message": st.just("the author says"),
        "obligations": st.sampled_from([{"ttl_max": "5m"}, {"isolation": "sandbox"}]),
        "advice": st.sampled_from([{"notify": ["sre"]}, {"notify": ["lead", "sre"]}]),
    },
)


def evenly(*rules: Rules) -> Rules:
    """One of several kinds, each as often; `one_of` would weigh them by the expressions that are in them."""
    return st.sampled_from(rules).flatmap(lambda kind: kind)


@cache
def rules_of(*, any_sign: bool, leaf: Texts = plain) -> tuple[Rules, Rules, Rules]:
    """Rules that allow, rules that deny, and rules that restrict otherwise."""
    restricting = st.one_of(expressions(False, any_sign=any_sign, leaf=leaf), st.just("true"))
    milder = evenly(
        st.builds(ask, restricting, count=st.integers(1, 2), roles=st.sampled_from([[], ["sre"]])),
        st.builds(throttle, restricting, key=keys),
    )
    return expressions(True, any_sign=any_sign, leaf=leaf).map(allow), restricting.map(deny), milder


@cache
def policies_of(*, any_sign: bool) -> st.SearchStrategy[list[Rule]]:
    """One rule that opens, most often, so that the others can be seen to shut; and one to three of those."""
    allows, denies, milder = rules_of(any_sign=any_sign)
    others = st.lists(evenly(allows, denies, milder), min_size=1, max_size=3)
    return st.tuples(st.one_of(st.just(allow()), st.just(allow()), allows), others).map(
        lambda pair: [pair[0], *pair[1]]
    )


def _decorated(rule: Rule, pin: str, actions: list[str] | None, more: Rule, ignoring: bool) -> Rule:
    expression = rule.get("expression", "true")
    found = {**rule, "expression": pin.format(f"({expression})"), **more}
    if actions is not None:
        found["actions"] = actions
    if ignoring:
        found["on_unknown"] = "ignore"
    return found


@cache
def rich_policies() -> st.SearchStrategy[list[Rule]]:
    """Policies with all that a rule may have, of few rules and of many."""
    allows, denies, milder = rules_of(any_sign=False, leaf=plain | wild)
    some = st.builds(
        _decorated,
        evenly(allows, allows, denies, milder, milder),
        st.sampled_from(PINS),
        st.sampled_from([None, None, [ACTION], [ACTION, OTHER]]),
        st.one_of(st.just({}), st.just({}), extras),
        st.sampled_from([False, False, True]),
    )
    few = st.lists(some, min_size=1, max_size=5)
    first = st.one_of(st.just([]), st.just([allow()]))
    size = st.sampled_from([0, 0, 0, 0, 12, 35, 65])
    return st.builds(
        lambda first, few, size, pin: [*first, *few, *_many(few, size, pin)],
        first,
        few,
        size,
        st.sampled_from(["", 'user.team == "{}"', '"{}" == user.team && agent.id == "{}"']),
    )


def _many(few: Sequence[Rule], size: int, pin: str) -> list[Rule]:
    """More of the same rules, pinned to different teams if there is a pin."""
    return [_pinned(few[at % len(few)], pin.replace("{}", TEAMS[at % len(TEAMS)])) for at in range(size)]


def _pinned(rule: Rule, pin: str) -> Rule:
    return {**rule, "expression": f"{pin} && {rule['expression']}"} if pin else dict(rule)


restrictions = evenly(*rules_of(any_sign=False)[1:])
policies = policies_of(any_sign=False)


def loaded(rules: list[Rule], schema: Schema | None = None) -> PolicyEngine:
    return policy(*rules, variables=VARIABLES, schema=schema)
