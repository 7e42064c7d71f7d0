"""The types of CEL, and the declarations against which an expression is checked.

Declarations are one record: a fact's group is a record of its members, so that a misspelt field is
found when the policy loads. `dyn` is what is known only at evaluation.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Self

from attrs import field, frozen
from typing_extensions import override

from cigate.facts import FactType, Schema


@frozen(cache_hash=True)
class Type:
    """A type: its name, its arguments (`list(string)`), and a record's fields.

    A `parameter` stands for one type throughout the signature that it is in. What an expression gets for
    `type(x)` is a type too, the one that its name stands for (`TYPE_VALUES`): there a list is a list, of whatever.
    """

    name: str
    arguments: tuple[Type, ...] = ()
    fields: tuple[tuple[str, Type], ...] | None = field(default=None, repr=False)
    parameter: bool = field(default=False, repr=False)
    is_open: bool = field(init=False, repr=False, eq=False)
    """Is a parameter in it, whose type is still to be found?"""
    _members: Mapping[str, Type] = field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        is_open = self.parameter or any(argument.is_open for argument in self.arguments)
        object.__setattr__(self, "is_open", is_open)
        object.__setattr__(self, "_members", dict(self.fields or ()))

    @override
    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(str, self.arguments))})" if self.arguments else self.name

    def member(self, name: str) -> Type | None:
        """The type of a record's field, or None if it has no such field."""
        return self._members.get(name)

    def accepts(self, other: Type) -> bool:
        """Can a value of the other type be what is wanted here? `dyn` may be anything until evaluation."""
        if DYN in (self, other):
            return True
        if {self.is_record, other.is_record} == {True, False}:
            rest = other if self.is_record else self
            return rest.name == "map" and rest.arguments[0].accepts(STRING)
        if self.name != other.name or len(self.arguments) != len(other.arguments):
            return False
        return all(mine.accepts(theirs) for mine, theirs in zip(self.arguments, other.arguments, strict=True))

    @property
    def is_record(self) -> bool:
        """Is it a group of declared fields?"""
        return self.fields is not None


BOOL: Final = Type("bool")
INT: Final = Type("int")
UINT: Final = Type("uint")
DOUBLE: Final = Type("double")
STRING: Final = Type("string")
BYTES: Final = Type("bytes")
NULL: Final = Type("null_type")
TIMESTAMP: Final = Type("timestamp")
DURATION: Final = Type("duration")
DYN: Final = Type("dyn")
TYPE: Final = Type("type")

TYPE_NAMES: Final = frozenset(
    {"bool", "int", "uint", "double", "string", "bytes", "list", "map", "null_type", "type", "optional_type"}
    | {"google.protobuf.Timestamp", "google.protobuf.Duration"}
)
"""Names that stand for a type, as in `type(x) == int`."""

TYPE_VALUES: Final[Mapping[str, Type]] = MappingProxyType({name: Type(name) for name in sorted(TYPE_NAMES)})
"""What such a name is worth, and what `type(x)` gives."""


def param(name: str) -> Type:
    """A type parameter, for the signature of a function that takes any type: `param("A")`."""
    return Type(name, parameter=True)


def type_of(kind: Type) -> Type:
    """`type(kind)`: what `type(x)` has for a type."""
    return Type("type", (kind,))


def optional_of(kind: Type) -> Type:
    """`optional_type(kind)`: a value that may be none."""
    return Type("optional_type", (kind,))


def list_of(item: Type) -> Type:
    """`list(item)`."""
    return Type("list", (item,))


def map_of(key: Type, value: Type) -> Type:
    """`map(key, value)`."""
    return Type("map", (key, value))


def record_of(name: str, fields: Mapping[str, Type]) -> Type:
    """A group of declared fields; a field that is not declared can't be read."""
    return Type(name, (), tuple(sorted(fields.items(), key=lambda entry: entry[0])))


_APPROVAL: Final = record_of("approval", {"user": STRING, "roles": list_of(STRING), "at": TIMESTAMP})

_OF_FACT: Final = {
    FactType.BOOL: BOOL,
    FactType.INT: INT,
    FactType.STRING: STRING,
    FactType.TIMESTAMP: TIMESTAMP,
    FactType.DURATION: DURATION,
    FactType.STRINGS: list_of(STRING),
    FactType.SCALARS: map_of(STRING, DYN),
    FactType.APPROVALS: list_of(_APPROVAL),
}


@frozen(cache_hash=True)
class Declarations:
    """Which names an expression may read, and of what type.

    Args:
        names: a record whose fields are the top-level names.
    """

    names: Type
    dotted: bool = field(init=False, eq=False, repr=False)
    """Is there a name with a dot in it?"""

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "dotted", any("." in name for name, _ in self.names.fields or ()))

    @classmethod
    def of(cls, names: Mapping[str, Type]) -> Self:
        """Declarations from top-level names: `{"x": INT, "agent": record_of(…)}`."""
        return cls(record_of("facts", names))

    @classmethod
    def from_schema(
        cls,
        schema: Schema,
        *,
        action_parameters: Mapping[str, FactType] | None = None,
        variables: Mapping[str, Type] | None = None,
    ) -> Self:
        """The facts of a schema.

        Args:
            schema: the facts.
            action_parameters: the types of `parameters.*`; None leaves them as the schema has them.
            variables: the types of `variables.*`; None or empty declares no `variables`.
        """
        tree: dict[str, Type | dict[str, object]] = {}
        for path, kind in schema.fields.items():
            _plant(tree, path.split("."), _OF_FACT[kind])
        if action_parameters is not None:
            types = {name: _OF_FACT[kind] for name, kind in action_parameters.items()}
            tree["parameters"] = record_of("parameters", types)
        if variables:
            tree["variables"] = record_of("variables", variables)
        return cls(_record("facts", tree))


def _plant(tree: dict[str, Type | dict[str, object]], path: list[str], kind: Type) -> None:
    level: dict[str, object] = tree  # type: ignore[assignment]
    for step in path[:-1]:
        below = level.setdefault(step, {})
        if not isinstance(below, dict):
            return  # below an open map: dynamic already
        level = below
    level[path[-1]] = kind


def _record(name: str, tree: Mapping[str, object]) -> Type:
    fields: dict[str, Type] = {}
    for known, below in tree.items():
        if isinstance(below, Type):
            fields[known] = below
        elif isinstance(below, dict):
            fields[known] = _record(known, below)
    return record_of(name, fields)
