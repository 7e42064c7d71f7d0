"""Which values of a fact could matter to a policy: those that its rules can tell apart.

Theory of operation. A rule sees a fact only through the expressions that read it. Where those compare it with
constants, every value between two constants is like every other one; so the constants, their neighbours and one
value that is none of them stand for all values there are. Facts that are compared with one another share their
constants, and the values that they have now, with as many neighbours as there are facts in the comparison
(`x < y` and `y < z` need three in a row). Where there is arithmetic the ends of the range are added; what
lies between is found by halving. Patterns, prefixes and sizes give examples.

In come the applicable rules, the schema and the facts; out comes for each fact that they read a list of values,
the one like the present value included, in one order always.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import combinations, islice
from typing import Any, Final

from attrs import frozen

from cigate import cel
from cigate.cel.syntax import PRODUCTS, SUMS, Call, Literal, walk
from cigate.facts import BIGGEST_INTEGER, LONGEST_DURATION, Facts, FactType, Schema, Value
from cigate.policy.explaining.parts import Atom, apart, atoms, is_constant, part_program, touches
from cigate.policy.explaining.patterns import example
from cigate.policy.loading.compiled import CompiledRule

_ANY: Final = (-BIGGEST_INTEGER, BIGGEST_INTEGER)
_MOST_ITEMS: Final = 6
_MOST_TEXTS: Final = 60
_MOST_MEMBERS: Final = 4
_LONGEST_TEXT: Final = 256
_UNNAMED: Final = ".other_"
_KEPT: Final = 512
_STEP: Final = timedelta(seconds=1)
_EXACT: Final = frozenset({"_==_", "_!=_", "@in"})
_ORDERED: Final = (FactType.INT, FactType.TIMESTAMP, FactType.DURATION)


@frozen
class Domain:
    """The values of one fact that are worth trying.

    Args:
        path: the fact.
        kinds: the types that it may have; several only for a member of an open map.
        values: candidates; in rising order if it is ordered.
        group: facts that are compared with one another have the same.
        fresh: the candidate that stands for every text that the rules do not name.
        after: of members that only have to be there, whatever their names, the one that comes before.
        whole: the candidates stand for all values; else they are examples.
    """

    path: str
    kinds: tuple[FactType, ...]
    values: tuple[Value, ...]
    group: int
    fresh: str | None = None
    whole: bool = True
    after: str = ""

    @property
    def ordered(self) -> bool:
        return len(self.kinds) == 1 and self.kinds[0] in _ORDERED


@frozen
class _Seen:
    """What one atom compares: facts and constants, by which functions."""

    paths: frozenset[str]
    constants: tuple[Value, ...]
    functions: frozenset[str]


def domains(
    rules: Iterable[CompiledRule], schema: Schema, facts: Facts, fixed: Collection[str]
) -> list[Domain]:
    """A domain for each fact that the rules read and that may change, in the order of the paths.

    Args:
        rules: those that apply to the action.
        schema: the facts, and with the action known the types of its parameters.
        facts: what is known now.
        fixed: paths that may not change; `attestation.*` is all below it.
    """
    rules = tuple(rules)
    seen = [one for rule in rules for one in _looked_at_by(rule)]
    open_maps = [path for path, kind in schema.fields.items() if kind is FactType.SCALARS]
    read = {path for one in seen for path in one.paths}
    read |= {path for rule in rules if rule.rule.throttle is not None for path in rule.rule.throttle.key}
    if any(rule.rule.approval is not None for rule in rules):
        read |= {"user.id", "now"}
    sized = {path for one in seen if "size" in one.functions for path in one.paths}
    paths = sorted(
        {path for name in read for path in _leaves(name, schema, facts, open_maps, read, name in sized)}
    )
    groups = _groups(paths, seen)
    return [
        found
        for path in paths
        if not is_fixed(path, fixed)
        for found in [_domain(path, groups, seen, schema, facts)]
        if found is not None
    ]


def is_fixed(path: str, fixed: Collection[str]) -> bool:
    """Whether a path is one of those that may not change."""
    return any(path == one or (one.endswith(".*") and path.startswith(one[:-1])) for one in fixed)


@lru_cache(maxsize=_KEPT)
def _looked_at_by(rule: CompiledRule) -> tuple[_Seen, ...]:
    if rule.shown is None:
        return ()
    return tuple(_looked_at(atom) for atom in atoms(apart(rule.shown.node, rule.declarations)))


def _looked_at(atom: Atom) -> _Seen:
    functions = {
        node.function for node in walk(atom.program.node) if isinstance(node, Call) and not is_constant(node)
    }
    return _Seen(
        atom.program.references | _asked_for(atom.program),
        tuple(_constants(atom.program)),
        frozenset(functions),
    )


def _asked_for(program: cel.Program) -> frozenset[str]:
    """The members that `"key" in map` asks for."""
    found: set[str] = set()
    for node in walk(program.node):
        match node:
            case Call(function="@in", target=None, arguments=(Literal(value=str() as key), whole)):
                path = cel.path_of(whole)
                found |= set() if path is None else {f"{path}.{key}"}
    return frozenset(found)


def _constants(program: cel.Program) -> Iterator[Value]:
    """Every constant in an expression, what is computed from constants alone too, and examples of its patterns."""
    for node in walk(program.node):
        match node:
            case Literal(value=bool() | int() | str() as value):
                yield value
            case Call(function=function, arguments=(*_, Literal(value=str() as text))):
                yield from _like(function, text)
        if isinstance(node, Call) and is_constant(node):
            try:
                found = part_program(node, None)({})
            except (cel.EvaluationError, cel.CompileError):
                continue
            yield from found if isinstance(found, list) else (found,)


def _like(function: str, text: str) -> Iterator[str]:
    match function:
        case "matches":
            found = example(text)
            if found is not None:
                yield found
        case "startsWith":
            yield f"{text}x"
        case "endsWith":
            yield f"x{text}"
        case "contains":
            yield f"x{text}x"


def _leaves(
    name: str,
    schema: Schema,
    facts: Facts,
    open_maps: Iterable[str],
    read: Collection[str],
    sized: bool,
) -> Iterator[str]:
    """The facts that can change what an expression sees at a path: itself, or what is in it."""
    parent = name.rpartition(".")[0]
    kind = schema.type_of(name)
    if kind is not None and kind is not FactType.SCALARS:
        yield name
    elif kind is None and any(name.startswith(f"{path}.") for path in open_maps):
        if parent in open_maps:
            yield name
    elif kind is None:
        yield from (path for path in schema.fields if path.startswith(f"{name}."))
    if kind is FactType.SCALARS:
        yield from (f"{name}.{member}" for member in facts.get(name) or ())
        if sized or not any(path.startswith(f"{name}.") for path in read):
            yield from (f"{name}{_UNNAMED}{at}" for at in range(1, _MOST_MEMBERS))


def _groups(paths: Iterable[str], seen: Iterable[_Seen]) -> Mapping[str, int]:
    """A number for each path, the same for two that some atom reads together."""
    number = {path: at for at, path in enumerate(paths)}
    for one in seen:
        together = {number[path] for path in number if any(touches(name, path) for name in one.paths)}
        if len(together) > 1:
            least = min(together)
            number = {path: least if at in together else at for path, at in number.items()}
    return number


def _domain(
    path: str, groups: Mapping[str, int], seen: Iterable[_Seen], schema: Schema, facts: Facts
) -> Domain | None:
    group = [other for other, number in groups.items() if number == groups[path]]
    mine = [one for one in seen if any(touches(name, other) for name in one.paths for other in group)]
    constants = [value for one in mine for value in one.constants]
    constants += [value for other in group for value in _items(facts.get(other))]
    own = [one for one in mine if any(touches(name, path) for name in one.paths)]
    functions = {function for one in own for function in one.functions}
    kinds = _kinds(path, schema, facts, own, constants)
    known = facts.get(path)
    whole = functions <= _EXACT | {"_<_", "_<=_", "_>_", "_>=_"}
    values: list[Value] = []
    fresh: str | None = None
    for kind in kinds:
        match kind:
            case FactType.BOOL:
                values += [False, True]
            case FactType.INT:
                values += _integers(constants, len(group), functions, schema.bounds.get(path, _ANY))
            case FactType.STRING:
                texts = _texts(constants, functions)
                fresh = _fresh(texts)
                values += [*texts, fresh]
            case FactType.TIMESTAMP:
                values += _times(constants, len(group))
            case FactType.DURATION:
                values += _durations(constants, len(group))
            case FactType.STRINGS:
                values += _lists(constants, functions, known)
                whole = False
            case _:
                return None
    if known is not None and not any(_same(known, value) for value in values):
        values.append(known)
    if len(kinds) == 1 and kinds[0] in _ORDERED:
        values.sort()
    after = ""
    above, _, number = path.rpartition(_UNNAMED)
    if above and number.isdigit() and number != "1" and known is None:
        after = f"{above}{_UNNAMED}{int(number) - 1}"
    return Domain(path, kinds, tuple(values), groups[path], fresh, whole, after) if values else None


def _same(one: Value, other: Value) -> bool:
    return type(one) is type(other) and one == other


def _items(value: Value | None) -> tuple[Value, ...]:
    return value if isinstance(value, tuple) else () if value is None else (value,)


def _kinds(
    path: str, schema: Schema, facts: Facts, own: Iterable[_Seen], constants: Iterable[Value]
) -> tuple[FactType, ...]:
    declared = schema.type_of(path)
    if declared is not None:
        return (declared,)
    root, _, name = path.partition(".")
    if root == "parameters" and schema.parameters is not None:
        types = schema.parameters.get(facts.get("action") or "", {})
        return (types[name],) if name in types else ()
    # Of a member of an open map only its use and its value tell.
    values = [value for one in own for value in one.constants]
    found = {_OF_VALUE[type(value)] for value in values if type(value) in _OF_VALUE}
    known = facts.get(path)
    kind = next((_OF_VALUE[each] for each in type(known).__mro__ if each in _OF_VALUE), None)
    if kind is not None:
        found.add(kind)
    if not found:
        found = {_OF_VALUE[type(value)] for value in constants if type(value) in _OF_VALUE}
    return tuple(sorted(found or {FactType.BOOL}))


_OF_VALUE: Final[Mapping[type[Any], FactType]] = {
    bool: FactType.BOOL,
    int: FactType.INT,
    str: FactType.STRING,
    datetime: FactType.TIMESTAMP,
    timedelta: FactType.DURATION,
}


def _integers(
    constants: Iterable[Value], reach: int, functions: Set[str], bounds: tuple[int, int]
) -> list[int]:
    least, most = bounds
    found = {0, *(value for value in constants if type(value) is int)}
    near = {value + step for value in found for step in range(-reach, reach + 1)}
    near |= {least, most}
    if not functions.isdisjoint({*SUMS, *PRODUCTS, "-_"}):
        near |= {-1_000_000, 1_000_000}  # where the ends overflow
    return [value for value in near if least <= value <= most]


def _texts(constants: Iterable[Value], functions: Set[str]) -> list[str]:
    constants = list(constants)
    found = {value: None for value in constants if isinstance(value, str)}
    if not functions.isdisjoint({"startsWith", "endsWith", "contains"}):
        for one, other in islice(combinations(found, 2), _MOST_TEXTS):
            found = {**found, f"{one}{other}": None, f"{other}{one}": None}
    if "size" in functions:
        sizes = {value + step for value in constants if type(value) is int for step in (-1, 0, 1)}
        found = {**found, **{"x" * size: None for size in sizes if 0 <= size <= _LONGEST_TEXT}}
    return sorted(text for text in found if len(text) <= _LONGEST_TEXT)


def _fresh(texts: Collection[str]) -> str:
    """A text that the rules do not name."""
    return next(
        text for text in ("other", *(f"other-{at}" for at in range(len(texts) + 1))) if text not in texts
    )


def _times(constants: Iterable[Value], reach: int) -> list[datetime]:
    constants = list(constants)
    steps = {step * _STEP for step in range(-reach - 1, reach + 2)}
    spans = {span for span in constants if isinstance(span, timedelta)}
    near = steps | {sign * span + step for span in spans for sign in (-1, 1) for step in steps}
    found: set[datetime] = set()
    for moment in constants:
        if isinstance(moment, datetime):
            found |= {moved for span in near if (moved := _moved(moment, span)) is not None}
    return list(found)


def _moved(moment: datetime, span: timedelta) -> datetime | None:
    try:
        return (moment + span).astimezone(UTC)
    except OverflowError:
        return None


def _durations(constants: Iterable[Value], reach: int) -> list[timedelta]:
    found = {timedelta(0), *(value for value in constants if isinstance(value, timedelta))}
    near = {value + step * _STEP for value in found for step in range(-reach - 1, reach + 2)}
    return [value for value in near if abs(value) <= LONGEST_DURATION]


def _lists(constants: Iterable[Value], functions: Set[str], known: Value | None) -> list[tuple[str, ...]]:
    """What is there now with some named items more or fewer; each subset of the named items while they are few."""
    constants = list(constants)
    items = sorted({value for value in constants if isinstance(value, str)})
    now: tuple[str, ...] = known or ()
    named = sorted(items, key=lambda item: (item in now, item))[:_MOST_ITEMS]
    found: dict[tuple[str, ...], None] = {}
    for count in range(len(named) + 1):
        for some in combinations(named, count):
            found[
                (*(item for item in now if item not in some), *(item for item in some if item not in now))
            ] = None
    for count in range(len(named) + 1):
        for some in combinations(named, count):
            found[some] = None
    if "size" in functions:
        sizes = {value + step for value in constants if type(value) is int for step in (-1, 0, 1)}
        for size in sorted(size for size in sizes if 0 <= size <= _MOST_ITEMS * 4):
            for some in list(found)[:_MOST_TEXTS]:
                found[(*some, *(f"other-{at}" for at in range(size)))[:size]] = None
    found[("other",)] = None
    return list(found)
