"""Do four engines agree? Random expressions and facts, ours against each peer: `python -m tests.cel.agreement`.

A case is one expression on one set of facts. The engines agree in it if all give the same value of the same type,
or if all fail; and the two that check types agree on which expressions they refuse. Where they do not, an entry of
`KNOWN` must explain it, from what the language says; an entry names the engine that departs from it, and never
covers more than it must. What no entry explains is a bug, of ours or not.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any

from attrs import define, field, frozen

from cigate import cel
from cigate.cel.defects import known
from tests.cel.generating import NAMES, Expressions, bindings
from tests.oracles.engines import CEL_PYTHON, GOOGLE, OURS, RUST, Engine, agree
from tests.oracles.outcome import Failed, Outcome

CASES_OF_ONE = 8
"""On how many sets of facts an expression is tried."""

SLOW_SHARE = 10
"""Every how many expressions cel-python is asked: it takes ten times as long as the others together."""


@frozen
class Case:
    """One expression on one set of facts, and what two engines make of it."""

    source: str
    facts: Mapping[str, Any]
    ours: Outcome
    theirs: Outcome

    def reads(self, pattern: str) -> bool:
        """Does the text of the expression have this in it?"""
        return re.search(pattern, self.source) is not None


@frozen
class Known:
    """A disagreement that is argued.

    Args:
        engine: the peer that departs from the language.
        says: what the language definition says there, or what the conformance tests ask.
        shows: whether a case is one of these.
    """

    engine: Engine
    says: str
    shows: Callable[[Case], bool]


def _only(case: Case, said: str) -> bool:
    """The peer alone fails, and says this."""
    return (
        isinstance(case.theirs, Failed)
        and not isinstance(case.ours, Failed)
        and re.search(said, case.theirs.said) is not None
    )


def _refused(case: Case, said: str) -> bool:
    """The peer alone refuses to compile it, and says this."""
    return isinstance(case.theirs, Failed) and case.theirs.refused and _matches(case.theirs, said)


def _same_but_for(case: Case, pattern: str) -> bool:
    """The two are the same once what matches is taken out of them."""
    return not isinstance(case.ours, Failed) and re.sub(pattern, "", repr(case.theirs)) == repr(case.ours)


def _has_long_digits(found: Outcome) -> bool:
    return re.search(r"\d{10,}", repr(found)) is not None


def _matches(failed: Failed, said: str) -> bool:
    return re.search(said, failed.said) is not None


def _ours_only(case: Case, said: str) -> bool:
    """Ours alone fails, and says this."""
    return (
        isinstance(case.ours, Failed)
        and not isinstance(case.theirs, Failed)
        and re.search(said, case.ours.said) is not None
    )


KNOWN: tuple[Known, ...] = (
    Known(
        GOOGLE,
        "Ours: a text that is no timestamp, duration or pattern fails whenever it is read, so it does not load.",
        lambda case: isinstance(case.ours, Failed) and "cel.literal" in case.ours.said and case.ours.refused,
    ),
    Known(
        OURS,
        "Ours, where names are declared: `has` of a field is false where what it is a field of is not known.",
        lambda case: case.reads(r"has\(") and isinstance(case.ours, Failed),
    ),
    Known(
        GOOGLE,
        "Ours: what may take too long is refused by a static estimate.",
        lambda case: isinstance(case.ours, Failed) and "cel.too-large" in case.ours.said,
    ),
    Known(
        GOOGLE,
        "Type Conversions: `int` is of int, uint, double, string, timestamp; cel-cpp has one of a duration.",
        lambda case: isinstance(case.ours, Failed) and "int is not defined on (duration)" in case.ours.said,
    ),
    Known(
        GOOGLE,
        "Ordering: numbers of different types are ordered; cel-cpp does so only where their types are dynamic.",
        lambda case: _refused(case, "'_[<>]=?_' applied to '\\((int|uint|double), (int|uint|double)\\)'"),
    ),
    Known(
        GOOGLE,
        "Aggregates: a map of values of several types is one of dyn; cel-cpp takes the type of the first.",
        lambda case: _refused(case, "'_[?]_:_' applied to '\\(bool, (map|list)") and case.reads(r"\{|\["),
    ),
    Known(
        GOOGLE,
        "Maps: what can be no key is in no map (cel-go); cel-cpp has no overload for it.",
        lambda case: _only(case, "No matching overloads found : @in"),
    ),
    Known(
        GOOGLE,
        "Ours: whatever may be compared with null, for a fact may be null; cel-cpp knows that it never is.",
        lambda case: _refused(case, "'_[!=]=_' applied to '\\((null_type, .*|.*, null_type)\\)'"),
    ),
    Known(
        GOOGLE,
        "Type Conversions: a time as text has the digits that it needs (cel-go); cel-cpp writes 3, 6 or 9.",
        lambda case: _same_but_for(case, r"(?<=\.\d)00(?=[sZ])|(?<=\.\d\d)0(?=[sZ])"),
    ),
    Known(
        GOOGLE,
        "Ordering: null has none; the check of cel-cpp takes it for a duration or a timestamp, and then fails.",
        lambda case: isinstance(case.ours, Failed) and _matches(case.ours, "is not defined on .*null_type"),
    ),
    Known(
        GOOGLE,
        "Macros: a loop goes through what is dynamic; cel-cpp refuses an item of a list of no type.",
        lambda case: _refused(case, "cannot be the range of a comprehension"),
    ),
    Known(
        GOOGLE,
        "Type Conversions: `int` is of no bool; cel-cpp has one where types are dynamic.",
        lambda case: _ours_only(case, r"no-such-overload.*\(bool\)") and case.reads(r"\bint\("),
    ),
    *(
        Known(
            engine,
            "Macros: the order in which a loop meets the keys of a map is open.",
            lambda case: (
                not isinstance(case.ours, Failed)
                and not isinstance(case.theirs, Failed)
                and case.reads(r"\.(map|filter)\(")
                and any(isinstance(value, dict) and len(value) > 1 for value in case.facts.values())
            ),
        )
        for engine in (GOOGLE, RUST)
    ),
    Known(
        RUST,
        "Macros: `all` is false and `exists` true for one item, whatever fails for others; the crate fails.",
        lambda case: isinstance(case.theirs, Failed) and case.reads(r"\.(all|exists)\("),
    ),
    Known(
        RUST,
        "Type Conversions: a large double as text has an exponent (cel-go); the crate writes all digits.",
        lambda case: case.reads(r"string\(") and _has_long_digits(case.theirs),
    ),
    Known(
        RUST,
        "Type Conversions: a duration as text is in seconds; the crate writes hours and minutes.",
        lambda case: case.reads(r"string\(") and case.reads(r"\bts\b|\bdu\b|timestamp|duration"),
    ),
    Known(
        RUST,
        "Maps: what can be no key is in no map (cel-go); the crate has an error for it.",
        lambda case: _only(case, "cannot be used as a map key"),
    ),
    Known(
        RUST,
        "Functions: `string` of a bool, `int` of a timestamp, getters with a time zone: the crate has none.",
        lambda case: (
            isinstance(case.theirs, Failed) and case.reads(r"\b(string|int|timestamp)\(|get\w+\('|getDate")
        ),
    ),
    Known(
        RUST,
        "Functions: `size` of a string is the number of its code points; the crate counts octets.",
        lambda case: case.reads(r"size\(") and not f"{case.source}{case.facts}".replace("\\x", "é").isascii(),
    ),
    Known(
        RUST,
        "Ordering: a comparison with NaN is false; the crate has no overload for it.",
        lambda case: (
            isinstance(case.theirs, Failed)
            and not isinstance(case.ours, Failed)
            and case.reads("[<>]")
            and case.reads(r"\bd\b|\d\.\d|double|\bx\b|\bm\b")
        ),
    ),
    Known(
        RUST,
        "Overflow: the negative of the least integer overflows; the crate gives it back.",
        lambda case: _ours_only(case, "overflow") and case.reads("-\\("),
    ),
    Known(
        RUST,
        "Lists: `+` is of two lists; the crate adds a map to one.",
        lambda case: _ours_only(case, "no-such-overload") and case.reads(r"\+"),
    ),
    Known(
        RUST,
        "Timestamps: `getMilliseconds` of a duration is the part below a second (cel-go, and the tests).",
        lambda case: case.reads(r"getMilliseconds\("),
    ),
    Known(
        RUST,
        "Type Conversions: octets that are no UTF-8 are an error; the crate replaces them.",
        lambda case: _ours_only(case, "invalid") and case.reads(r"string\("),
    ),
    Known(
        RUST,
        "Arithmetic: `-` is of numbers; the crate's of a bool is its opposite.",
        lambda case: _ours_only(case, "no-such-overload") and case.reads("-\\("),
    ),
    Known(
        RUST,
        "Timestamps: a duration and a timestamp add up in either order; in the crate in one.",
        lambda case: _only(case, r"duration \+ timestamp"),
    ),
    Known(
        RUST,
        "Timestamps: getters are of UTC; the crate keeps the offset that a time was written with.",
        lambda case: case.reads(r"\+01:00") and case.reads("get[A-Z]"),
    ),
    Known(
        RUST,
        "Timestamps: a duration of more than 292 years overflows (the tests); the crate's are longer.",
        lambda case: isinstance(case.ours, Failed) and case.reads(r"\bts\b|\bdu\b|timestamp|duration"),
    ),
)


@define
class Tally:
    """What a run found."""

    cases: int = 0
    compared: Counter[str] = field(factory=Counter)
    values: int = 0
    refused: int = 0
    explained: Counter[str] = field(factory=Counter)
    bugs: list[tuple[str, Case]] = field(factory=list)


def explains(engine: Engine, case: Case) -> str | None:
    """Why the two are known to disagree; None: nobody knows."""
    if engine is CEL_PYTHON:
        found = known(cel.parse(case.source), _answer(case.ours), _answer(case.theirs), case.facts)
        return None if found is None else f"{engine.name}: {found.name}: {found.says}"
    return next(
        (f"{engine.name}: {one.says}" for one in KNOWN if one.engine is engine and one.shows(case)), None
    )


def _answer(found: Outcome) -> Any:
    """As `known` wants it: it looks at whether there is a value, and at the code of the error."""
    if not isinstance(found, Failed):
        return found
    return cel.EvaluationError(found.said.partition(":")[0], found.said)


def run(seed: int, cases: int, *, depth: int = 4) -> Tally:
    """Compare over so many cases. The same seed gives the same cases."""
    random = Random(seed)
    expressions = Expressions(random)
    tally = Tally()
    for count in range(-(-cases // CASES_OF_ONE)):
        source = expressions.of_any(depth)
        facts = [bindings(random) for _ in range(CASES_OF_ONE)]
        peers = (GOOGLE, RUST, CEL_PYTHON) if count % SLOW_SHARE == 0 else (GOOGLE, RUST)
        _compare(tally, source, facts, peers)
    return tally


def _compare(tally: Tally, source: str, facts: list[Mapping[str, Any]], peers: tuple[Engine, ...]) -> None:
    """What the check refuses the other one that checks must refuse; the rest is evaluated without types, and
    with them by ours once more, for what is declared must not change a value."""
    run_checked, run_ours = OURS.prepare(source, NAMES, checked=True), OURS.prepare(source, NAMES)
    tally.cases += len(facts)
    first = run_checked(facts[0])
    theirs = GOOGLE.prepare(source, NAMES, checked=True)({})
    refused = [isinstance(one, Failed) and one.refused for one in (first, theirs)]
    if refused[0] != refused[1]:
        _judge(tally, GOOGLE, Case(source, {}, first, theirs))
    if refused[0]:
        tally.refused += 1
        return
    ours = [run_ours(one) for one in facts]
    tally.values += sum(not isinstance(one, Failed) for one in ours)
    for one, mine in zip(facts, ours, strict=True):
        checked = run_checked(one)
        if checked != mine:
            _judge(tally, OURS, Case(source, one, mine, checked))
    for engine in peers:
        run_theirs = engine.prepare(source, NAMES)
        tally.compared[engine.name] += len(facts)
        for one, mine in zip(facts, ours, strict=True):
            theirs = run_theirs(one)
            if not agree(engine, theirs, mine):
                _judge(tally, engine, Case(source, one, mine, theirs))


def _judge(tally: Tally, engine: Engine, case: Case) -> None:
    reason = explains(engine, case)
    if reason is None:
        tally.bugs.append((engine.name, case))
    else:
        tally.explained[reason] += 1


def report(tally: Tally) -> Iterator[str]:
    """What a run found, for people."""
    yield f"{tally.cases} cases, {tally.values} of them with a value; {tally.refused} expressions were refused"
    yield f"compared with {dict(tally.compared)}"
    for reason, count in tally.explained.most_common():
        yield f"{count:8} {reason}"
    for name, case in sorted(tally.bugs, key=lambda bug: len(bug[1].source))[:40]:
        used = {key: value for key, value in case.facts.items() if case.reads(rf"\b{key}\b")}
        yield f"{name}: {case.source}\n    {used}\n    ours {case.ours}\n    theirs {case.theirs}"
    yield f"{len(tally.bugs)} disagreements that nothing explains"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--depth", type=int, default=4)
    given = parser.parse_args()
    start = time.perf_counter()
    tally = run(given.seed, given.cases, depth=given.depth)
    print(*report(tally), f"{time.perf_counter() - start:.1f} s", sep="\n")
    return 1 if tally.bugs else 0


if __name__ == "__main__":
    sys.exit(main())
