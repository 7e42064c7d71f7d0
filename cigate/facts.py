"""What we know when we decide: one document, the same for a CEL rule, a risk scorer and the ledger.

`Schema` says which facts exist and of what type; `Facts` is a document that fits it, deeply frozen.
A fact that is not known is absent, never a default. Times and durations may be written as RFC 3339
and `10m` strings and are kept as aware UTC datetimes and timedeltas; there are no floats. In an open map a
string is a string: there a time is written `{"timestamp": "…"}` and a duration `{"duration": "600s"}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from attrs import evolve, field, frozen

from cigate.errors import FactsError
from cigate.wire.times import parse_duration, parse_timestamp, seconds, timestamp

Value = Any
"""A fact's value: bool, int, str, aware datetime, timedelta, a tuple of values, or a mapping of values."""

BIGGEST_INTEGER: Final = 2**53 - 1
LONGEST_DURATION: Final = timedelta(seconds=99_999_999_999)
_ANY: Final = (-BIGGEST_INTEGER, BIGGEST_INTEGER)
_COUNT: Final = (0, BIGGEST_INTEGER)


class FactType(StrEnum):
    """The type of one fact, in CEL's words."""

    BOOL = "bool"
    INT = "int"
    STRING = "string"
    TIMESTAMP = "timestamp"
    DURATION = "duration"
    STRINGS = "list(string)"
    SCALARS = "map(string, dyn)"
    """An open map of scalars (posture, history, runner, parameters without a schema): members are dynamic."""
    APPROVALS = "list(approval)"
    """A list of maps: `user` string, `roles` list(string), `at` timestamp."""


Bounds = tuple[int, int]
"""The least and the greatest that an integer may be."""


def _frozen_types(given: Mapping[str, FactType]) -> Mapping[str, FactType]:
    return MappingProxyType(dict(given))


def _frozen_bounds(given: Mapping[str, Bounds]) -> Mapping[str, Bounds]:
    return MappingProxyType(dict(given))


@frozen
class Schema:
    """Which facts exist, and of what type.

    Args:
        fields: dotted path to type, `{"agent.managed": FactType.BOOL}`. Nothing below an open map is listed.
        parameters: for each action that exists, its parameters' types. None: `parameters.*` is dynamic and
            action names are unchecked.
        bounds: dotted path to the least and the greatest value of an integer, of an open map's member too.
            None given: any that JSON can say.
    """

    fields: Mapping[str, FactType] = field(converter=_frozen_types)
    parameters: Mapping[str, Mapping[str, FactType]] | None = None
    bounds: Mapping[str, Bounds] = field(factory=dict, converter=_frozen_bounds)
    _groups: frozenset[str] = field(init=False, eq=False, repr=False)

    @_groups.default
    def _find_groups(self) -> frozenset[str]:
        return frozenset(path[:at] for path in self.fields for at in range(len(path)) if path[at] == ".")

    @classmethod
    def default(cls) -> Schema:
        """The facts that a Gateway collects."""
        return _DEFAULT

    def with_actions(self, parameters: Mapping[str, Mapping[str, FactType]]) -> Schema:
        """The same facts where `parameters` is typed by each action's own schema, and actions are known."""
        known = {name: _frozen_types(types) for name, types in parameters.items()}
        return evolve(self, parameters=MappingProxyType(known))

    def type_of(self, path: str) -> FactType | None:
        """The type of the fact at a dotted path; None for a group (`agent`) and for what does not exist."""
        return self.fields.get(path)

    def groups(self) -> frozenset[str]:
        """Every path that has facts below it: `agent`, `cost` and the like."""
        return self._groups


@frozen
class Facts:
    """A document of facts that fits a schema, deeply frozen.

    Build one with `Facts.of`. Read one with `get`, which gives None for what is not known.
    """

    document: Mapping[str, Value]

    @classmethod
    def of(cls, document: Mapping[str, Any], schema: Schema | None = None) -> Facts:
        """Check a nested dict against the schema, and freeze it.

        Facts that the schema does not name are dropped: no rule can read them.

        Raises:
            FactsError: `facts.type` or `facts.range`, with the JSON pointer of the fact.
        """
        schema = schema or Schema.default()
        return cls(_conform(document, "", schema))

    def get(self, path: str) -> Value | None:
        """The fact at a dotted path (`device.posture.compliant`), or None if it is not known."""
        found: Any = self.document
        for step in path.split("."):
            if not isinstance(found, Mapping) or step not in found:
                return None
            found = found[step]
        return found

    @property
    def now(self) -> datetime | None:
        """The time of the decision: an input like all others."""
        found = self.get("now")
        return found if isinstance(found, datetime) else None

    def including(self, path: str, value: Value) -> Facts:
        """The same facts and one more (or another value at `path`); groups on the way are made."""
        head, _, rest = path.partition(".")
        if not rest:
            return Facts(MappingProxyType({**self.document, head: _freeze(value)}))
        below = self.document.get(head, MappingProxyType({}))
        inner = Facts(below if isinstance(below, Mapping) else MappingProxyType({})).including(rest, value)
        return Facts(MappingProxyType({**self.document, head: inner.document}))

    def without(self, path: str) -> Facts:
        """The same facts, with the one at `path` unknown."""
        head, _, rest = path.partition(".")
        if head not in self.document:
            return self
        if not rest:
            return Facts(
                MappingProxyType({name: value for name, value in self.document.items() if name != head})
            )
        below = self.document[head]
        if not isinstance(below, Mapping):
            return self
        return Facts(MappingProxyType({**self.document, head: Facts(below).without(rest).document}))

    def to_json(self, schema: Schema | None = None) -> dict[str, Any]:
        """The document with times as RFC 3339 and durations as `600s`; `Facts.of` reads it back unchanged.

        Where the schema does not say that a value is a time or a duration, it is written as a map that does:
        else a rule that compared a time when it decided would find a string when it is replayed.
        """
        plain = _plain(self.document, "", schema or Schema.default())
        assert isinstance(plain, dict)
        return plain


def _conform(document: object, prefix: str, schema: Schema) -> Mapping[str, Value]:
    if not isinstance(document, Mapping):
        raise _wrong(prefix.rstrip("."), "a map", document)
    groups = schema.groups()
    kept: dict[str, Value] = {}
    for name, value in document.items():
        if not isinstance(name, str) or "." in name:
            continue  # no name of a fact, though it may look like the path of one
        path = f"{prefix}{name}"
        wanted = schema.fields.get(path)
        if wanted is not None:
            kept[name] = _conform_value(value, wanted, path, schema)
        elif path in groups:
            kept[name] = _conform(value, f"{path}.", schema)
    return MappingProxyType(kept)


def _conform_value(value: object, wanted: FactType, path: str, schema: Schema) -> Value:
    match wanted:
        case FactType.BOOL if isinstance(value, bool):
            return value
        case FactType.INT if type(value) is int:
            return _bounded(value, path, schema)
        case FactType.STRING if isinstance(value, str):
            return _text(value, path)
        case FactType.TIMESTAMP if isinstance(value, datetime | str):
            return _time(value, path)
        case FactType.DURATION if isinstance(value, timedelta | str):
            return _duration(value, path)
        case FactType.TIMESTAMP | FactType.DURATION if isinstance(value, Mapping):
            found = _scalar(value, path, schema)
            if isinstance(found, datetime if wanted is FactType.TIMESTAMP else timedelta):
                return found
        case FactType.STRINGS if isinstance(value, list | tuple):
            if all(isinstance(item, str) for item in value):
                return tuple(_text(item, f"{path}.{at}") for at, item in enumerate(value))
        case FactType.SCALARS if isinstance(value, Mapping):
            return MappingProxyType(
                {_name(name, path): _scalar(item, f"{path}.{name}", schema) for name, item in value.items()}
            )
        case FactType.APPROVALS if isinstance(value, list | tuple):
            return tuple(_approval(item, f"{path}.{at}", schema) for at, item in enumerate(value))
    raise _wrong(path, wanted.value, value)


_APPROVAL: Final = {"user": FactType.STRING, "roles": FactType.STRINGS, "at": FactType.TIMESTAMP}


def _approval(value: object, path: str, schema: Schema) -> Mapping[str, Value]:
    if not isinstance(value, Mapping) or "user" not in value:
        raise _wrong(path, "a map with a user", value)
    return MappingProxyType(
        {
            name: _conform_value(value[name], kind, f"{path}.{name}", schema)
            for name, kind in _APPROVAL.items()
            if name in value
        }
    )


def _scalar(value: object, path: str, schema: Schema) -> Value:
    if isinstance(value, bool):
        return value
    if isinstance(value, timedelta):
        return _duration(value, path)
    if isinstance(value, str):
        return _text(value, path)
    if type(value) is int:
        return _bounded(value, path, schema)
    if isinstance(value, datetime):
        return _time(value, path)
    if isinstance(value, Mapping) and len(value) == 1:
        [(kind, text)] = value.items()
        if kind == "timestamp" and isinstance(text, str):
            return _time(text, path)
        if kind == "duration" and isinstance(text, str):
            return _duration(text, path)
    raise _wrong(path, "a scalar (bool, int, string, timestamp, duration)", value)


def _name(name: object, path: str) -> str:
    if not isinstance(name, str):
        raise _wrong(path, "a map whose names are strings", name)
    return _text(name, path)


def _text(value: str, path: str) -> str:
    if not value.isascii() and any("\ud800" <= each <= "\udfff" for each in value):
        raise FactsError("facts.type", "half of a surrogate pair is no text", where=_pointer(path))
    return value


def _bounded(value: int, path: str, schema: Schema) -> int:
    if abs(value) > BIGGEST_INTEGER:
        raise FactsError("facts.range", "an integer must be within ±(2^53-1)", where=_pointer(path))
    least, most = schema.bounds.get(path, _ANY)
    if not least <= value <= most:
        raise FactsError("facts.range", f"{value} is not from {least} to {most}", where=_pointer(path))
    return value


def _time(value: datetime | str, path: str) -> datetime:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise FactsError(
                "facts.type", "a datetime must be aware (give it tzinfo=UTC)", where=_pointer(path)
            )
        try:
            return value.astimezone(UTC)
        except OverflowError:
            message = "a datetime must lie in the years 1 to 9999 in UTC"
            raise FactsError("facts.range", message, where=_pointer(path)) from None
    try:
        return parse_timestamp(value)
    except ValueError as error:
        raise FactsError("facts.type", str(error), where=_pointer(path)) from None


def _duration(value: timedelta | str, path: str) -> timedelta:
    if isinstance(value, str):
        # an age is below zero while a signer's clock is ahead of ours
        sign, text = (-1, value[1:]) if value.startswith("-") else (1, value)
        try:
            value = sign * parse_duration(text)
        except ValueError as error:
            raise FactsError("facts.type", str(error), where=_pointer(path)) from None
    if abs(value) > LONGEST_DURATION:
        raise FactsError("facts.range", "a duration must be within ±99999999999s", where=_pointer(path))
    return value


def _wrong(path: str, wanted: str, value: object) -> FactsError:
    return FactsError("facts.type", f"expected {wanted}, found {type(value).__name__}", where=_pointer(path))


def _pointer(path: str) -> str:
    return "/" + path.replace("~", "~0").replace("/", "~1").replace(".", "/") if path else ""


def _freeze(value: Any) -> Value:
    if isinstance(value, Mapping):
        return MappingProxyType({name: _freeze(item) for name, item in value.items()})
    if isinstance(value, list | tuple):
        return tuple(_freeze(item) for item in value)
    return value


def _plain(value: Value, path: str, schema: Schema) -> Any:
    if isinstance(value, Mapping):
        prefix = f"{path}." if path else ""
        return {name: _plain(item, f"{prefix}{name}", schema) for name, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item, path, schema) for item in value]
    typed = schema.type_of(path) or _type_in_approvals(path, schema)
    if isinstance(value, datetime):
        return timestamp(value) if typed is FactType.TIMESTAMP else {"timestamp": timestamp(value)}
    if isinstance(value, timedelta):
        return seconds(value) if typed is FactType.DURATION else {"duration": seconds(value)}
    return value


def _type_in_approvals(path: str, schema: Schema) -> FactType | None:
    parent, _, name = path.rpartition(".")
    return _APPROVAL.get(name) if schema.type_of(parent) is FactType.APPROVALS else None


_DEFAULT = Schema(
    {
        "now": FactType.TIMESTAMP,
        "action": FactType.STRING,
        "commit": FactType.STRING,
        "purpose": FactType.STRING,
        "parameters": FactType.SCALARS,
        "agent.id": FactType.STRING,
        "agent.version": FactType.STRING,
        "agent.version_source": FactType.STRING,
        "agent.managed": FactType.BOOL,
        "agent.trusted": FactType.BOOL,
        "agent.approved_version": FactType.BOOL,
        "agent.capabilities": FactType.STRINGS,
        "user.id": FactType.STRING,
        "user.roles": FactType.STRINGS,
        "user.team": FactType.STRING,
        "device.id": FactType.STRING,
        "device.managed": FactType.BOOL,
        "device.posture": FactType.SCALARS,
        "attestation.format": FactType.STRING,
        "attestation.level": FactType.INT,
        "attestation.age": FactType.DURATION,
        "attestation.chain": FactType.STRINGS,
        "risk.score": FactType.INT,
        "risk.factors": FactType.STRINGS,
        "risk.as_of": FactType.TIMESTAMP,
        "cost.estimate": FactType.INT,
        "cost.currency": FactType.STRING,
        "budget.remaining": FactType.INT,
        "budget.currency": FactType.STRING,
        "budget.as_of": FactType.TIMESTAMP,
        "approvals": FactType.APPROVALS,
        "history": FactType.SCALARS,
        "runner": FactType.SCALARS,
    },
    bounds={
        "attestation.level": (0, 3),
        "risk.score": (0, 100),
        "cost.estimate": _COUNT,
        "budget.remaining": _COUNT,
        "history.requests": _COUNT,
        "history.denials": _COUNT,
        "history.failures": _COUNT,
    },
)
