"""Programs: what they read, what they explain, and that many threads may share one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from cigate import cel
from cigate.cel import CompileError, Declarations, EvaluationError, Observed
from cigate.facts import Facts, Schema

DEFAULT = Declarations.from_schema(Schema.default())


def test_importing_and_compiling_loads_no_evaluator() -> None:
    heavy = "('celpy', 'lark', 'yaml', 'pendulum', 're2', 'cryptography')"
    script = (
        "import sys; from cigate import cel; cel.compile('a == 1');"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_evaluating_neither_lowers_the_hosts_recursion_limit_nor_logs_facts() -> None:
    script = (
        "import logging, sys; sys.setrecursionlimit(9000); logging.basicConfig(level=logging.DEBUG)\n"
        "from cigate import cel; cel.compile('a.b == 1')({'a': {'b': 'private'}});"
        "print(sys.getrecursionlimit())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "9000"
    assert "private" not in done.stderr


def test_a_document_of_facts_is_read_as_it_is() -> None:
    facts = Facts.of(
        {
            "agent": {"managed": True, "capabilities": ["tests"]},
            "cost": {"estimate": 120},
            "now": "2026-11-24T08:00:00Z",
            "attestation": {"age": "5m"},
            "approvals": [{"user": "a@example.com", "roles": ["sre"], "at": "2026-11-24T07:59:00Z"}],
        }
    )
    source = (
        "agent.managed && cost.estimate <= 5000 && 'tests' in agent.capabilities"
        " && attestation.age < duration('10m')"
        " && approvals.exists(a, 'sre' in a.roles && now - a.at < duration('2m'))"
    )
    assert cel.compile(source, declarations=DEFAULT)(facts.document) is True


REFERENCES = {
    "agent.managed && cost.estimate <= 5000": {"agent.managed", "cost.estimate"},
    "has(device.posture.x) || device.posture['y'] == 1": {"device.posture.x", "device.posture.y"},
    "agent.id.startsWith('a')": {"agent.id"},
    "approvals.exists(a, a.user == user.id)": {"approvals", "user.id"},
    "size(agent) == 1": {"agent"},
    "device.posture[agent.id] == 1": {"device.posture", "agent.id"},
    "type(agent.id) == string": {"agent.id"},
    "user.roles[0] == 'a'": {"user.roles"},
    "[agent.id, {user.id: cost.estimate}][0] == 1 ? now : now": {
        "agent.id",
        "user.id",
        "cost.estimate",
        "now",
    },
    "true": set(),
}


@pytest.mark.parametrize(("source", "paths"), REFERENCES.items())
def test_a_program_knows_which_facts_it_reads(source: str, paths: set[str]) -> None:
    assert cel.compile(source).references == paths


def test_a_field_of_a_declared_group_that_is_unknown_is_not_there() -> None:
    program = cel.compile("!has(device.posture.age) || device.posture.age > 30", declarations=DEFAULT)
    assert program({}) is True
    assert program({"device": {}}) is True
    assert program({"device": {"posture": {}}}) is True
    assert program({"device": {"posture": {"age": 3}}}) is False


def test_a_presence_test_forgives_absence_and_nothing_else() -> None:
    with pytest.raises(EvaluationError):
        cel.compile("has(device.posture.age)", declarations=DEFAULT)({"device": "a string"})
    with pytest.raises(EvaluationError):
        cel.compile("has(approvals[0].user)", declarations=DEFAULT)({"approvals": []})


def test_an_explanation_shows_each_part_and_its_value_or_error() -> None:
    program = cel.compile(
        "agent.managed && (cost.estimate <= 5000 || risk.score > 3) && user.roles.exists(r, r == agent.id)",
        declarations=DEFAULT,
    )
    observed = program.explain(
        {"agent": {"managed": True, "id": "a"}, "cost": {"estimate": 9}, "user": {"roles": ["a"]}}
    )
    assert [(one.source, one.value, one.error) for one in observed] == [
        ("agent.managed", True, ""),
        ("cost.estimate <= 5000", True, ""),
        ("cost.estimate", 9, ""),
        ("risk.score > 3", None, "cel.no-such-field"),
        ("risk.score", None, "cel.no-such-field"),
        ("user.roles.exists(r, r == agent.id)", True, ""),
        ("user.roles", ["a"], ""),
    ]


def test_an_explanation_shows_a_repeated_part_once() -> None:
    observed = (
        cel.compile("a.b == 1 || a.b == 2")({"a": {"b": 2}}),
        cel.compile("a.b == 1 || a.b == 2").explain({}),
    )
    assert observed[0] is True
    assert [one.source for one in observed[1]] == ["a.b == 1", "a.b", "a.b == 2"]
    assert observed[1][0] == Observed("a.b == 1", 4, None, "cel.no-such-field")


def test_constants_that_python_takes_for_equal_are_not_mixed_up_between_programs() -> None:
    assert cel.compile("x == 1")({"x": 1}) is True
    assert cel.compile("x == true")({"x": 1}) is False
    assert cel.compile("1.0 / 0.0 > x")({"x": 1}) is True
    assert cel.compile("1.0 / -0.0 > x")({"x": 1}) is False


def test_eight_threads_share_one_program_without_mixing_their_facts() -> None:
    program = cel.compile("a.n * 2 == b.m && l.exists(x, x == a.n) && l.filter(x, x > a.n).size() == 0")

    def work(number: int) -> list[bool]:
        return [
            program({"a": {"n": number}, "b": {"m": 2 * number + wrong}, "l": [number]})
            for _ in range(6)
            for wrong in (0, 1)
        ]

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(work, range(24)))
    assert results == [[True, False] * 6] * 24


def test_threads_may_compile_and_evaluate_for_the_first_time_at_once() -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: cel.compile(f"x + {number}")({"x": 1}), range(40)))
    assert found == [number + 1 for number in range(40)]


GROW: dict[str, Callable[[str], str]] = {
    "not": lambda inner: f"!({inner})",
    "ternary": lambda inner: f"({inner} ? true : false)",
    "and": lambda inner: f"(x == 1 && {inner})",
    "has": lambda inner: f"[{inner}][0]",
    "call": lambda inner: f"bool(string({inner}))",
    "map": lambda inner: f"{{'k': {inner}}}.k",
}


@pytest.mark.parametrize("shape", GROW)
def test_the_deepest_expression_that_compiles_also_evaluates(shape: str) -> None:
    deepest = "true"
    for _ in range(200):
        try:
            cel.compile(GROW[shape](deepest))
        except CompileError:
            break
        deepest = GROW[shape](deepest)
    else:
        pytest.fail("nothing bounds the depth")
    assert type(cel.compile(deepest)({"x": 1})) is bool


def test_running_out_of_stack_is_an_evaluation_error() -> None:
    deep: object = 1
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(EvaluationError) as caught:
        cel.compile("x == x")({"x": deep})
    assert caught.value.code == "cel.too-deep"


def test_whatever_the_engine_raises_is_an_evaluation_error() -> None:
    class Broken(datetime):
        def astimezone(self, tz: object = None) -> datetime:  # type: ignore[override]
            raise LookupError("a bug")

    with pytest.raises(EvaluationError) as caught:
        cel.compile("x == x")({"x": Broken(2026, 1, 1, tzinfo=UTC)})
    assert caught.value.code == "cel.failed"


def test_an_evaluator_that_does_not_load_is_an_evaluation_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cigate.cel.interpreter", None)
    with pytest.raises(EvaluationError) as caught:
        cel.compile("x == 'nothing else says this'")({"x": 1})
    assert caught.value.code == "cel.failed"


@pytest.mark.parametrize("passing", [MemoryError, KeyboardInterrupt])
def test_what_no_program_may_swallow_passes(passing: type[BaseException]) -> None:
    class Broken(datetime):
        def astimezone(self, tz: object = None) -> datetime:  # type: ignore[override]
            raise passing

    with pytest.raises(passing):
        cel.compile("x == x")({"x": Broken(2026, 1, 1, tzinfo=UTC)})


FORKS = """
import os, signal, sys, threading
from cigate import cel

cel.ready()
assert "cigate.cel.interpreter" in sys.modules
done = threading.Event()

def evaluate():
    at = 0
    while not done.is_set():
        at += 1
        assert cel.compile(f"{at} == {at}")({}) is True

threads = [threading.Thread(target=evaluate) for _ in range(2)]
for thread in threads:
    thread.start()
codes = set()
for at in range(25):
    child = os.fork()
    if child == 0:
        signal.alarm(10)  # ends a child that waits for a lock
        os._exit(0 if cel.compile(f"{at} < {at + 1}")({}) is True else 1)
    codes.add(os.waitpid(child, 0)[1])
done.set()
print(codes)
"""


def test_a_child_forked_while_other_threads_compile_and_evaluate_can_too() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", FORKS], capture_output=True, text=True, timeout=60, check=True
    )
    assert ran.stdout.strip() == "{0}"
