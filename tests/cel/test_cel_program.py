"""Programs: what they read, what they explain, and that many threads may share one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cigate import cel
from cigate.cel import CompileError, Declarations, EvaluationError, Observed
from cigate.cel.types import INT, record_of
from cigate.facts import Facts, Schema

DEFAULT = Declarations.from_schema(Schema.default())


def test_importing_compiling_and_evaluating_loads_nothing_heavy() -> None:
    heavy = "('celpy', 'lark', 'yaml', 'pendulum', 're2', 'cryptography', 'zoneinfo')"
    script = (
        "import sys; from cigate import cel; cel.compile('a == 1')({'a': 1});"
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


def test_running_out_of_stack_is_an_evaluation_error_whether_compiling_or_evaluating() -> None:
    program = cel.compile("x == 1 && (y == 2 || z == 'nothing else says this')")
    codes = set()

    def deeper(run: Callable[[], object]) -> None:
        try:
            run()
        except EvaluationError as error:
            codes.add(error.code)
        deeper(run)

    with pytest.raises(RecursionError):
        deeper(lambda: program({"x": 1, "y": 3, "z": 4}))
    assert codes == {"cel.too-deep"}
    assert program({"x": 1, "y": 3, "z": 4}) is False


def test_a_value_that_is_too_deep_is_not_given_out() -> None:
    deep: object = 1
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(EvaluationError) as caught:
        cel.compile("x")({"x": deep})
    assert caught.value.code == "cel.too-deep"
    assert cel.compile("x == x")({"x": deep}) is True


class _Broken(Mapping[str, object]):
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __getitem__(self, key: str) -> object:
        raise self.error

    def __iter__(self) -> Iterator[str]:
        raise self.error

    def __len__(self) -> int:
        raise self.error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LookupError("private"), "cel.failed"),
        (ZeroDivisionError("private"), "cel.failed"),
        (RecursionError("private"), "cel.too-deep"),
        (MemoryError("private"), "cel.too-costly"),
    ],
)
@pytest.mark.parametrize("source", ["x.y == 1", "x.y == 1 || t", "l.exists(i, x.y == i) || t"])
def test_whatever_a_callers_object_raises_is_an_evaluation_error(
    error: Exception, code: str, source: str
) -> None:
    with pytest.raises(EvaluationError) as caught:
        cel.compile(source)({"x": _Broken(error), "l": [1], "t": True})
    assert caught.value.code == code
    assert "private" not in str(caught.value)


def test_what_no_program_may_swallow_passes() -> None:
    with pytest.raises(KeyboardInterrupt):
        cel.compile("x.y == 1 || t")({"x": _Broken(KeyboardInterrupt()), "t": True})


def test_python_is_made_at_the_first_evaluation_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []

    def emit(node: object, **_: object) -> Callable[[object], int]:
        made.append(node)
        return lambda _: 1

    monkeypatch.setattr("cigate.cel.emit.emit", emit)
    program = cel.compile("a + b + 'this is said nowhere else'")
    assert made == []
    program({})
    program({})
    assert made == [program.node]


def test_a_policys_programs_are_told_apart_by_declarations_and_container() -> None:
    declared = cel.compile("has(a.b)", declarations=Declarations.of({"a": record_of("a", {"b": INT})}))
    assert declared({}) is False
    with pytest.raises(EvaluationError):
        cel.compile("has(a.b)")({})
    assert cel.compile("x", container="a")({"a.x": 1, "x": 2}) == 1
    assert cel.compile("x")({"a.x": 1, "x": 2}) == 2


FORKS = """
import os, signal, sys, threading
from cigate import cel

cel.ready()
assert "re2" in sys.modules and "zoneinfo" in sys.modules
done = threading.Event()

def evaluate():
    at = 0
    while not done.is_set():
        at += 1
        assert cel.compile(f"x == {at}")({"x": at}) is True

threads = [threading.Thread(target=evaluate) for _ in range(2)]
for thread in threads:
    thread.start()
codes = set()
for at in range(25):
    child = os.fork()
    if child == 0:
        signal.alarm(10)  # ends a child that waits for a lock
        os._exit(0 if cel.compile(f"{at} < x && 'b1'.matches('(a|b)+[0-9]')")({"x": at + 1}) is True else 1)
    codes.add(os.waitpid(child, 0)[1])
done.set()
print(codes)
"""


def test_a_child_forked_while_other_threads_compile_and_evaluate_can_too() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", FORKS], capture_output=True, text=True, timeout=60, check=True
    )
    assert ran.stdout.strip() == "{0}"


def test_declarations_may_be_a_plain_mapping_of_types() -> None:
    names = {"cost": cel.Type("int"), "agent.managed": cel.Type("bool")}
    program = cel.compile("agent.managed && cost < 80", declarations=names)
    assert program is cel.compile("agent.managed && cost < 80", declarations=Declarations.of(names))
    with pytest.raises(CompileError) as caught:
        cel.compile("cost + 'a'", declarations=names)
    assert (caught.value.code, caught.value.where) == ("cel.type", "1:6")


@pytest.mark.parametrize("source", [None, b"true", 1])
def test_what_is_no_text_is_no_expression(source: Any) -> None:
    with pytest.raises(TypeError, match="an expression is a str, not a "):
        cel.compile(source)
