"""Random expressions, and what they read: well typed for the most part, ill typed now and then.

In comes a seeded `Random`; out come the text of an expression and bindings for its names. The same seed gives
the same. Values lie where engines go wrong: at the ends of 64 bits, at zero, at NaN, at the empty and the
absent, and at characters that are more than one unit long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

from attrs import field, frozen

from cigate.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    NULL,
    STRING,
    TIMESTAMP,
    UINT,
    Type,
    list_of,
    map_of,
)

INTS: Final = list_of(INT)
STRINGS: Final = list_of(STRING)
COUNTS: Final = map_of(STRING, INT)
OPEN: Final = map_of(STRING, DYN)

NAMES: Final[Mapping[str, Type]] = {
    "b": BOOL,
    "c": BOOL,
    "i": INT,
    "j": INT,
    "d": DOUBLE,
    "s": STRING,
    "r": STRING,
    "y": BYTES,
    "li": INTS,
    "ls": STRINGS,
    "mi": COUNTS,
    "m": OPEN,
    "x": DYN,
    "ts": TIMESTAMP,
    "du": DURATION,
}
"""What an expression may read. There is no `uint`: of the peers two take none from Python; `uint(i)` is one."""

_INTS: Final = (0, 1, 2, 3, 7, -1, -2, 100, 2**31, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 2**62)
_DOUBLES: Final = (0.0, -0.0, 0.5, 1.0, 1.5, -1.5, 2.0, 1e10, 9007199254740993.0, 1e308, 9.3e18, 1e-9)
_STRINGS: Final = ("", "a", "b", "ab", "abc", "A", "é", "😀", "a b", "1", "-7", "1.5", "true", "x\ny", "k")
_BYTES: Final = (b"", b"a", b"ab", b"\xff", "é".encode(), b"1")
_KEYS: Final = ("a", "b", "k", "", "é")
_TIMES: Final = (
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(2026, 11, 24, 8, 30, 15, tzinfo=UTC),
    datetime(2024, 2, 29, 23, 59, 59, 500_000, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
)
_SPANS: Final = (
    timedelta(),
    timedelta(seconds=1),
    timedelta(hours=-3, minutes=5),
    timedelta(milliseconds=1500),
    timedelta(days=400),
    timedelta(days=100_000),
)
_TIME_TEXTS: Final = (
    "1970-01-01T00:00:00Z",
    "2026-11-24T09:30:15+01:00",
    "2024-02-29T23:59:59.5Z",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "2023-02-29T00:00:00Z",
    "soon",
)
_SPAN_TEXTS: Final = ("0s", "1s", "-1h30m", "1500ms", "1.5s", "36h", "10000h", "1d", "x")
_ZONES: Final = ("UTC", "+02:00", "-08:30", "Europe/Berlin", "America/New_York")
_PATTERNS: Final = ("a", "^a", "b$", "a.c", "[a-c]+", "^(a|b)*$", "é", "\\\\d+", "^$", "(", "x{2,1}")
_GETTERS: Final = (
    "getFullYear",
    "getMonth",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getHours",
    "getMinutes",
    "getSeconds",
    "getMilliseconds",
)
_ORDERED: Final = (BOOL, INT, UINT, DOUBLE, STRING, BYTES, TIMESTAMP, DURATION)
_COMPARED: Final = (*_ORDERED, INTS, STRINGS, COUNTS, NULL)
_ANY: Final = (*_COMPARED, DYN, OPEN)


def quoted(text: str) -> str:
    """A string literal that every engine reads alike."""
    plain = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{plain}'"


@frozen
class Expressions:
    """A stream of expressions.

    Args:
        random: where all choices come from.
        wrong: how often a part is of another type than the one that belongs there.
        names: what may be read.
    """

    random: Random
    wrong: float = 0.02
    names: Mapping[str, Type] = NAMES
    _bound: dict[str, Type] = field(factory=dict, init=False)

    def next(self, kind: Type = BOOL, depth: int = 4) -> str:
        """An expression, of this type where nothing in it is wrong."""
        if depth > 0 and self.random.random() < self.wrong:
            kind = self.random.choice(_ANY)
        if depth <= 0 or self.random.random() < 0.15:
            return self._leaf(kind)
        return self._branch(kind, depth - 1)

    def of_any(self, depth: int = 4) -> str:
        """An expression of whatever type."""
        return self.next(self.random.choice((*_ANY, BOOL, BOOL, BOOL, BOOL, INT, INT, DOUBLE, STRING)), depth)

    def _leaf(self, kind: Type) -> str:
        known = [name for name, found in {**self.names, **self._bound}.items() if found == kind]
        if known and self.random.random() < 0.6:
            return self.random.choice(known)
        return self._literal(kind)

    def _literal(self, kind: Type) -> str:
        choose = self.random.choice
        match kind.name:
            case "bool":
                return choose(("true", "false"))
            case "int":
                return str(choose(_INTS))
            case "uint":
                return f"{abs(choose(_INTS))}u"
            case "double":
                return repr(choose(_DOUBLES))
            case "string":
                return quoted(choose(_STRINGS))
            case "bytes":
                return "b'" + "".join(f"\\x{octet:02x}" for octet in choose(_BYTES)) + "'"
            case "null_type":
                return "null"
            case "timestamp":
                return self._read("timestamp", _TIME_TEXTS)
            case "duration":
                return self._read("duration", _SPAN_TEXTS)
            case "list":
                items = (self._leaf(kind.arguments[0]) for _ in range(self.random.randrange(4)))
                return f"[{', '.join(items)}]"
            case "map":
                keys = self.random.sample(_KEYS, self.random.randrange(3))
                return (
                    "{" + ", ".join(f"{quoted(key)}: {self._leaf(kind.arguments[1])}" for key in keys) + "}"
                )
        return self._leaf(choose((BOOL, INT, STRING, DOUBLE, INTS, NULL)))

    def _read(self, function: str, texts: Sequence[str]) -> str:
        """A conversion of a text. A text that is none does not load as a literal, so most are hidden by `dyn`."""
        text = quoted(self.random.choice(texts))
        return f"{function}({text})" if self.random.random() < 0.2 else f"{function}(dyn({text}))"

    def _branch(self, kind: Type, depth: int) -> str:
        common: list[Callable[[Type, int], str]] = [self._choice]
        ways = {
            "bool": [self._relation] * 4
            + [self._logic] * 4
            + [self._membership, self._presence, self._text_test, self._quantifier, self._quantifier],
            "int": [self._arithmetic] * 4 + [self._size, self._to_int, self._item, self._getter],
            "uint": [self._arithmetic] * 2 + [self._to_uint],
            "double": [self._arithmetic] * 3 + [self._to_double],
            "string": [self._concatenation, self._concatenation, self._to_string, self._item],
            "bytes": [self._concatenation, self._to_bytes],
            "list": [self._concatenation, self._loop, self._loop, self._list],
            "map": [self._literal_of],
            "timestamp": [self._shifted],
            "duration": [self._span],
            "null_type": [self._literal_of],
            "dyn": [self._dynamic],
        }[kind.name]
        return self.random.choice([*common, *ways, *ways])(kind, depth)

    def _choice(self, kind: Type, depth: int) -> str:
        return f"({self.next(BOOL, depth)} ? {self.next(kind, depth)} : {self.next(kind, depth)})"

    def _literal_of(self, kind: Type, depth: int) -> str:
        return self._leaf(kind)

    def _relation(self, kind: Type, depth: int) -> str:
        if self.random.random() < 0.5:
            operand = self.random.choice(_COMPARED)
            sign = self.random.choice(("==", "!="))
        else:
            operand = self.random.choice(_ORDERED)
            sign = self.random.choice(("<", "<=", ">", ">="))
        return f"({self.next(operand, depth)} {sign} {self.next(operand, depth)})"

    def _logic(self, kind: Type, depth: int) -> str:
        if self.random.random() < 0.2:
            return f"!{self._grouped(BOOL, depth)}"
        sign = self.random.choice(("&&", "||"))
        return f"({self.next(BOOL, depth)} {sign} {self.next(BOOL, depth)})"

    def _grouped(self, kind: Type, depth: int) -> str:
        return f"({self.next(kind, depth)})"

    def _membership(self, kind: Type, depth: int) -> str:
        holders = ((INT, INTS), (STRING, STRINGS), (STRING, COUNTS), (STRING, OPEN))
        wanted, holder = self.random.choice(holders if "m" in self.names else holders[:3])
        return f"({self.next(wanted, depth)} in {self.next(holder, depth)})"

    def _presence(self, kind: Type, depth: int) -> str:
        holders = ("mi", "{'a': 1}", "m", "m.k")
        holder = self.random.choice(holders if "m" in self.names else holders[:2])
        return f"has({holder}.{self.random.choice('abk')})"

    def _text_test(self, kind: Type, depth: int) -> str:
        of, method = self._grouped(STRING, depth), self.random.choice(("contains", "startsWith", "endsWith"))
        if self.random.random() < 0.4:
            pattern = f"'{self.random.choice(_PATTERNS)}'"
            return f"{of}.matches({pattern if self.random.random() < 0.2 else f'dyn({pattern})'})"
        return f"{of}.{method}({self.next(STRING, depth)})"

    def _quantifier(self, kind: Type, depth: int) -> str:
        return self._over(self.random.choice(("all", "exists", "exists_one")), depth, BOOL)

    def _over(self, macro: str, depth: int, gives: Type) -> str:
        holders = ((INTS, INT), (STRINGS, STRING), (COUNTS, STRING))
        # `map` over a map gives its keys in an order that the language leaves open.
        holder, item = self.random.choice(holders[:2] if macro == "map" else holders)
        return self._macro(macro, holder, item, depth, gives)

    def _macro(self, macro: str, holder: Type, item: Type, depth: int, gives: Type) -> str:
        operand, name = self._grouped(holder, depth), f"v{len(self._bound)}"
        self._bound[name] = item
        try:
            return f"{operand}.{macro}({name}, {self.next(gives, depth)})"
        finally:
            del self._bound[name]

    def _loop(self, kind: Type, depth: int) -> str:
        if self.random.random() < 0.5:
            return self._macro("filter", kind, kind.arguments[0], depth, BOOL)
        return self._over("map", depth, kind.arguments[0])

    def _list(self, kind: Type, depth: int) -> str:
        items = (self.next(kind.arguments[0], depth) for _ in range(self.random.randrange(3)))
        return f"[{', '.join(items)}]"

    def _arithmetic(self, kind: Type, depth: int) -> str:
        if kind != UINT and self.random.random() < 0.1:
            return f"-{self._grouped(kind, depth)}"
        sign = self.random.choice("+-*/" if kind == DOUBLE else "+-*/%")
        return f"({self.next(kind, depth)} {sign} {self.next(kind, depth)})"

    def _concatenation(self, kind: Type, depth: int) -> str:
        return f"({self.next(kind, depth)} + {self.next(kind, depth)})"

    def _size(self, kind: Type, depth: int) -> str:
        sized = self.random.choice((STRING, BYTES, INTS, STRINGS, COUNTS))
        if self.random.random() < 0.5:
            return f"size({self.next(sized, depth)})"
        return f"{self._grouped(sized, depth)}.size()"

    def _to_int(self, kind: Type, depth: int) -> str:
        return f"int({self.next(self.random.choice((INT, UINT, DOUBLE, STRING, TIMESTAMP)), depth)})"

    def _to_uint(self, kind: Type, depth: int) -> str:
        return f"uint({self.next(self.random.choice((INT, UINT, DOUBLE, STRING)), depth)})"

    def _to_double(self, kind: Type, depth: int) -> str:
        return f"double({self.next(self.random.choice((INT, UINT, DOUBLE, STRING)), depth)})"

    def _to_string(self, kind: Type, depth: int) -> str:
        return f"string({self.next(self.random.choice((INT, UINT, STRING, BYTES, BOOL)), depth)})"

    def _to_bytes(self, kind: Type, depth: int) -> str:
        return f"bytes({self.next(self.random.choice((STRING, BYTES)), depth)})"

    def _item(self, kind: Type, depth: int) -> str:
        if kind == INT and self.random.random() < 0.5:
            return f"{self._grouped(COUNTS, depth)}[{self.next(STRING, depth)}]"
        return f"{self._grouped(list_of(kind), depth)}[{self.random.choice((0, 1, 2, -1))}]"

    def _getter(self, kind: Type, depth: int) -> str:
        if self.random.random() < 0.3:
            return f"{self._grouped(DURATION, depth)}.{self.random.choice(_GETTERS[6:])}()"
        zone = quoted(self.random.choice(_ZONES)) if self.random.random() < 0.3 else ""
        return f"{self._grouped(TIMESTAMP, depth)}.{self.random.choice(_GETTERS)}({zone})"

    def _shifted(self, kind: Type, depth: int) -> str:
        if self.random.random() < 0.2:
            return f"timestamp({self.next(self.random.choice((STRING, TIMESTAMP)), depth)})"
        return f"({self.next(TIMESTAMP, depth)} {self.random.choice('+-')} {self.next(DURATION, depth)})"

    def _span(self, kind: Type, depth: int) -> str:
        if self.random.random() < 0.4:
            return f"({self.next(TIMESTAMP, depth)} - {self.next(TIMESTAMP, depth)})"
        return f"({self.next(DURATION, depth)} {self.random.choice('+-')} {self.next(DURATION, depth)})"

    def _dynamic(self, kind: Type, depth: int) -> str:
        path = self.random.choice(("x", "m.a", "m.b", "m.k", "m['a']", "m.a.b", "x.a", "x[0]"))
        return self.random.choice((path, f"dyn({self.next(self.random.choice(_COMPARED), depth)})"))


def bindings(random: Random, names: Mapping[str, Type] = NAMES, *, absent: float = 0.02) -> Mapping[str, Any]:
    """Values for the names, of their types; now and then one is absent."""
    return {name: value(random, kind) for name, kind in names.items() if random.random() >= absent}


def value(random: Random, kind: Type, depth: int = 2) -> Any:
    """A value of a type."""
    match kind.name:
        case "bool":
            return random.random() < 0.5
        case "int":
            return random.choice(_INTS)
        case "double":
            return random.choice((*_DOUBLES, float("nan"), float("inf"), -float("inf")))
        case "string":
            return random.choice(_STRINGS)
        case "bytes":
            return random.choice(_BYTES)
        case "null_type":
            return None
        case "timestamp":
            return random.choice(_TIMES)
        case "duration":
            return random.choice(_SPANS)
        case "list":
            return [value(random, kind.arguments[0], depth - 1) for _ in range(random.randrange(4))]
        case "map":
            keys: Sequence[str] = random.sample(_KEYS, random.randrange(4))
            return {key: value(random, kind.arguments[1], depth - 1) for key in keys}
    simple = (BOOL, INT, DOUBLE, STRING, BYTES, NULL)
    nested = (INTS, STRINGS, COUNTS, OPEN) if depth > 0 else ()
    return value(random, random.choice((*simple, *nested)), depth)
