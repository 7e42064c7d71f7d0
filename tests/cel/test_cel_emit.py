"""The Python that an expression becomes: against a naive evaluator, and where it has to stop."""

from __future__ import annotations

import gc
import itertools
import weakref
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from cigate import cel
from cigate.cel import EvaluationError
from cigate.cel.emit import emit
from cigate.cel.equality import equal
from cigate.cel.library import LIBRARY
from cigate.cel.running import MAX_STEPS
from cigate.cel.syntax import (
    Node,
)
from cigate.cel.types import DYN, Declarations
from cigate.cel.values import result, type_of
from tests.cel.naive_evaluator import Fault, Naive, strict
from tests.cel.tree_growing import FACTS, TREES


@pytest.mark.parametrize("declared", [False, True])
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=400)
@given(tree=TREES)
def test_the_python_of_any_tree_does_what_a_naive_evaluator_does(declared: bool, tree: Node) -> None:
    declarations = Declarations.of(dict.fromkeys(FACTS, DYN)) if declared else None
    expected = strict(result, Naive(FACTS, declared, {}).of(tree))
    run = emit(tree, functions=LIBRARY, declarations=declarations)
    found: object
    try:
        found = run(FACTS)
    except EvaluationError as error:
        found = Fault(error.code)
    if isinstance(expected, Fault) or isinstance(found, Fault):
        assert type(found) is type(expected)  # of several errors, either may be the one
    else:
        assert type_of(found) == type_of(expected)
        assert equal(found, expected) or repr(found) == repr(expected)  # NaN equals nothing


# -- absorption

_OPERANDS: dict[str, object] = {
    "true": True,
    "false": False,
    "missing": "error",
    "1 / zero == 1": "error",
    "s": "error",
}


def _outcome(source: str, facts: Mapping[str, Any]) -> object:
    try:
        return cel.compile(source)(facts)
    except EvaluationError:
        return "error"


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize(("sign", "deciding"), [("&&", False), ("||", True)])
def test_only_what_decides_absorbs_an_error_wherever_it_stands(count: int, sign: str, deciding: bool) -> None:
    facts = {"zero": 0, "s": "text", "yes": True, "no": False}
    constant_or_not = {"true": ("true", "yes"), "false": ("false", "no")}
    for operands in itertools.product(_OPERANDS, repeat=count):
        values = [_OPERANDS[operand] for operand in operands]
        expected = deciding if deciding in values else "error" if "error" in values else not deciding
        for spelling in (0, 1):
            spelt = [constant_or_not.get(operand, (operand, operand))[spelling] for operand in operands]
            assert _outcome(f" {sign} ".join(spelt), facts) == expected
            assert _outcome(f"!(!({f' {sign} '.join(spelt)}))", facts) == expected


@pytest.mark.parametrize(("macro", "deciding"), [("all", False), ("exists", True)])
def test_a_macro_decides_as_its_operator_does_over_every_order(macro: str, deciding: bool) -> None:
    values = {True: 1, False: 2, "error": 0, "no bool": 3}
    for rounds in itertools.product(values, repeat=3):
        facts = {"l": [values[one] for one in rounds]}
        found = _outcome(f"l.{macro}(x, x == 3 ? dyn('text') : 1 / x == 1)", facts)
        errors = "error" in rounds or "no bool" in rounds
        assert found == (deciding if deciding in rounds else "error" if errors else not deciding)


@pytest.mark.parametrize(
    "source",
    [
        "l.exists_one(x, 1 / x == 1)",
        "l.map(x, 1 / x)",
        "l.filter(x, 1 / x == 1)",
        "l.map(x, 1 / x == 1, x)",
        "l.transformList(i, x, 1 / x)",
        "l.transformMap(i, x, 1 / x)",
    ],
)
@pytest.mark.parametrize("at", [0, 1, 2])
def test_the_other_macros_absorb_nothing(source: str, at: int) -> None:
    facts = {"l": [0 if place == at else 1 for place in range(3)]}
    with pytest.raises(EvaluationError):
        cel.compile(source)(facts)


def test_a_binding_is_worked_out_once_at_most_and_not_before_it_is_read() -> None:
    calls: list[int] = []

    def counted(value: int) -> int:
        calls.append(value)
        return 1 // value

    function = cel.Function("f", (cel.Overload((cel.Type("int"),), cel.Type("int")),), counted)
    cases = {
        "cel.bind(x, f(n), x + x + x)": 1,
        "cel.bind(x, f(n), n == 1 ? 0 : x)": 0,
        "cel.bind(x, f(n), [1, 2, 3].map(i, x + i))": 1,
        "cel.bind(x, f(n - 1), [1, 2].all(i, x == i) || [1, 2].all(i, x == i) || true == t)": 1,
        "cel.bind(x, f(n), cel.bind(y, x + x, y + y))": 1,
        "[1, 2].map(i, cel.bind(x, f(n), x + x))": 2,
    }
    for source, times in cases.items():
        calls.clear()
        cel.compile(source, functions=[function])({"n": 1, "t": True})
        assert len(calls) == times, source


# -- budget


@pytest.mark.parametrize(
    "source",
    [
        "l.all(x, l.all(y, x != -1))",
        "l.exists(x, l.exists(y, x == -1))",
        "l.exists(x, l.exists(y, 1 / 0 == x)) || t",
        "size(l.map(x, l.map(y, x))) == 0",
        "l.filter(x, x in l) == l",
        "l.all(x, l == l)",
        "l.all(x, !s.contains('b'))",
        "l.all(x, s != s + 'a')",
        "l.map(x, s + s).size() > 0",
        "l.all(x, !s.matches('(b|c)+d'))",
        "l.exists_one(x, l.exists_one(y, false))",
        "l.all(x, l.exists(y, true))",
        "l.all(x, m.transformMapEntry(k, v, m).size() < 0) || t",
        "cel.bind(n, l.map(x, l), n.all(x, n == n))",
    ],
)
def test_a_loop_that_takes_too_many_steps_is_an_error_soon(source: str) -> None:
    facts = {
        "l": list(range(2000)),
        "s": "a" * 2**18,
        "t": True,
        "m": {str(key): key for key in range(20_000)},
    }
    program = cel.compile(source)
    started = datetime.now(UTC)
    try:
        outcome: object = program(facts)
    except EvaluationError as error:
        outcome = error.code
    assert outcome in ("cel.too-costly", True)
    assert outcome == "cel.too-costly" or source.endswith("|| t")
    assert datetime.now(UTC) - started < timedelta(seconds=3)


def test_an_expression_with_many_comparisons_of_large_values_counts_steps_without_loops() -> None:
    many = " && ".join(["l == k"] * 100)
    facts = {"l": list(range(50_000)), "k": list(range(50_000))}
    with pytest.raises(EvaluationError) as caught:
        cel.compile(many)(facts)
    assert caught.value.code == "cel.too-costly"
    assert cel.compile(many)({"l": [1], "k": [1]}) is True
    assert cel.compile("l == k && k == l")(facts) is True


def test_the_budget_is_for_one_evaluation() -> None:
    program = cel.compile("l.all(x, x >= 0)")
    facts = {"l": list(range(MAX_STEPS // 2))}
    assert [program(facts) for _ in range(4)] == [True] * 4


def test_what_is_large_costs_nothing_where_nothing_looks_at_it() -> None:
    facts = {"l": list(range(2000)), "s": "a" * 2**20}
    assert cel.compile("l.all(x, size(s) > x)")(facts) is True
    assert cel.compile("l.all(x, s != 'a')")(facts) is True


# -- nesting

_WRAPPINGS: dict[str, Callable[[str], str]] = {
    "all": lambda inner: f"[1].all(x, {inner})",
    "exists": lambda inner: f"[1].exists(x, {inner})",
    "exists_one": lambda inner: f"[1].exists_one(x, {inner})",
    "filter": lambda inner: f"[true].filter(x, {inner})[0]",
    "map": lambda inner: f"[1].map(x, {inner})[0]",
    "two": lambda inner: f"[1].all(i, x, {inner})",
    "left": lambda inner: f"(({inner}) && t)",
    "right": lambda inner: f"(t && ({inner}))",
    "bind": lambda inner: f"cel.bind(x, {inner}, x && t)",
    "optional": lambda inner: f"optional.of(t).optMap(x, {inner}).value()",
    "ternary": lambda inner: f"(t ? ({inner}) : missing)",
    "not": lambda inner: f"!(!({inner}))",
}


@pytest.mark.parametrize("wrapping", _WRAPPINGS)
def test_what_nests_as_deep_as_may_be_has_its_value(wrapping: str) -> None:
    source = _deepest(itertools.repeat(wrapping))
    assert cel.compile(source)({"t": True}) is True


def _deepest(wrappings: Iterable[str]) -> str:
    source = "t"
    for wrapping in itertools.islice(wrappings, 200):
        try:
            cel.compile(_WRAPPINGS[wrapping](source))
        except cel.CompileError:
            return source
        source = _WRAPPINGS[wrapping](source)
    return pytest.fail("nothing bounds the depth")


@pytest.mark.parametrize("order", list(itertools.permutations(["all", "left", "bind", "ternary"])))
def test_what_nests_by_turns_has_its_value(order: tuple[str, ...]) -> None:
    source = _deepest(itertools.cycle(order))
    assert cel.compile(source)({"t": True}) is True
    with pytest.raises(EvaluationError):
        cel.compile(source)({})


def test_a_chain_as_long_as_may_be_has_its_value() -> None:
    source = " || ".join(f"x == {at}" for at in range(400))
    assert cel.compile(source)({"x": 399}) is True
    assert cel.compile(source)({"x": 400}) is False
    with pytest.raises(EvaluationError):
        cel.compile(source)({})


# -- what else must hold


def test_no_text_of_a_user_is_in_the_python() -> None:
    source = (
        "[secret_name.secret_field].exists(secret_variable, secret_variable == secret_name['secret_key'])"
    )
    run = cel.compile(source)._code
    code: Any = run
    assert not [name for name in (*code.__code__.co_names, *code.__code__.co_varnames) if "secret" in name]


def test_an_absorbed_error_leaves_nothing_for_the_collector() -> None:
    class Held(dict[str, object]):
        pass

    gc.disable()
    try:
        held = Held({"t": True})
        gone = weakref.ref(held)
        assert cel.compile("l.exists(x, x == 1 || missing.y) || missing.x || t")(
            {"t": True, "l": [0], "held": held}
        )
        with pytest.raises(EvaluationError):
            cel.compile("(missing.x || l == held) && t")({"t": True, "l": [0], "held": held})
        del held
        assert gone() is None
    finally:
        gc.enable()


def test_constants_are_worked_out_once_and_errors_left_where_they_are() -> None:
    run: Any = cel.compile("x in ['a', 'b' + 'c'] || x == string(1 + 2)")._code
    assert ("a", "bc") in run.__globals__.values()
    assert "3" in run.__code__.co_consts
    assert cel.compile("x == 1 ? 1 / 0 : 2")({"x": 2}) == 2
    with pytest.raises(EvaluationError):
        cel.compile("x == 1 ? 1 / 0 : 2")({"x": 1})


def test_a_caller_cannot_change_the_constants_of_a_program() -> None:
    program = cel.compile("{'k': [1, 2]}")
    program({})["k"].append(3)
    assert program({}) == {"k": [1, 2]}


def test_many_threads_run_one_loop_each_with_its_own_steps() -> None:
    program = cel.compile("l.all(x, x >= 0) && cel.bind(y, size(l), l.exists(x, x == y - 1))")
    lists = [list(range(size)) for size in (1, 100, MAX_STEPS // 4)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda items: program({"l": items}), lists * 8)) == [True] * 24
