"""A small evaluator for the expressions that the properties of this room draw: quick, and plain enough to read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cigate import cel
from cigate.cel.syntax import (
    Bind,
    Call,
    Comprehension,
    Has,
    Index,
    ListOf,
    Literal,
    MapOf,
    Name,
    Node,
    Select,
)


class _None(Exception):
    """No value."""


class _Unknown(_None):
    """No value, for what it reads is not known."""


class _Maybe(tuple[Any, ...]):
    """An optional: what it holds, or nothing."""

    __slots__ = ()


def worth(node: Node, names: Mapping[str, Any]) -> Any:
    """The value of an expression of the grammar above; `_None` where it has none."""
    match node:
        case Literal(value=value):
            return value
        case Name(name=name):
            found = _member(names, name)
            if isinstance(found, _None):
                raise found
            return found
        case (
            Select(operand=operand, field=name, optional=optional)
            | Index(operand=operand, index=Literal(value=str() as name), optional=optional)
        ):
            return _selected(worth(operand, names), name, optional)
        case Has(operand=operand, field=name):
            try:
                return name in worth(operand, names)
            except _None:
                return False
        case ListOf(items=items):
            return tuple(worth(item, names) for item in items)
        case MapOf(entries=()):
            return {}
        case Comprehension(kind=kind, operand=operand, variable=variable, arguments=(body,), second=second):
            pairs = enumerate(worth(operand, names))
            each = [
                _attempt(body, {**names, **({variable: at, second: item} if second else {variable: item})})
                for at, item in pairs
            ]
            return _kleene(each, decides=kind == "exists")
        case Bind(variable=variable, value=value, body=body):
            return worth(body, {**names, variable: _tried(value, names)})
        case Call(function="orValue", target=target, arguments=(default,)) if target is not None:
            found = worth(target, names)
            return found[0] if found else worth(default, names)
        case Call(function="hasValue", target=target) if target is not None:
            return bool(worth(target, names))
        case Call(function="_&&_" | "_||_" as function, arguments=parts):
            return _kleene([_attempt(part, names) for part in parts], decides=function == "_||_")
        case Call(function="_?_:_", arguments=(condition, yes, no)):
            return worth(yes if _bool(worth(condition, names)) else no, names)
        case Call(function=function, arguments=parts):
            return _applied(function, [worth(part, names) for part in parts])
        case _:
            raise AssertionError("not in the grammar")


def _member(of: Any, name: str) -> Any:
    if not isinstance(of, Mapping):
        raise _None
    if name not in of:
        raise _Unknown
    return of[name]


def _selected(of: Any, name: str, optional: bool) -> Any:
    if isinstance(of, _Maybe):
        return _selected(of[0], name, True) if of else of
    if not optional:
        return _member(of, name)
    if not isinstance(of, Mapping):
        raise _None
    return _Maybe((of[name],) if name in of else ())


def _tried(node: Node, names: Mapping[str, Any]) -> Any:
    try:
        return worth(node, names)
    except _None as error:
        return error


def _attempt(node: Node, names: Mapping[str, Any]) -> Any:
    try:
        return _bool(worth(node, names))
    except _None as error:
        return error


def _bool(value: Any) -> bool:
    if type(value) is not bool:
        raise _None
    return value


def _kleene(values: list[Any], *, decides: bool) -> bool:
    if decides in values:
        return decides
    for value in values:
        if isinstance(value, _None):
            raise value
    return not decides


def _applied(function: str, values: list[Any]) -> Any:
    kinds = {type(value) for value in values}
    match function, values:
        case "!_", [value]:
            return not _bool(value)
        case "type", [value]:
            return type(value).__name__
        case "bool", [_]:
            raise _None
        case "size", [value]:
            return len(value)
        case "_==_", [left, right]:
            return (type(left) is type(right) and left == right) or _both_maps(left, right)
        case "_!=_", [left, right]:
            return not _applied("_==_", values)
        case "@in", [item, whole]:
            return any(type(item) is type(each) and item == each for each in whole)
        case (("_<_" | "_<=_" | "_>_" | "_>=_"), [left, right]) if len(kinds) == 1 and not isinstance(
            left, Mapping
        ):
            return {"_<_": left < right, "_<=_": left <= right, "_>_": left > right, "_>=_": left >= right}[
                function
            ]
        case "_+_", [int(), int()] if kinds == {int}:
            return values[0] + values[1]
    raise _None


def _both_maps(left: Any, right: Any) -> bool:
    return isinstance(left, Mapping) and isinstance(right, Mapping) and dict(left) == dict(right)


def quickly(program: cel.Program, facts: Mapping[str, Any]) -> Any:
    try:
        return worth(program.node, facts)
    except _None as error:
        code = "cel.no-such-field" if isinstance(error, _Unknown) else "cel.no-such-overload"
        raise cel.EvaluationError(code, "the small evaluator finds none") from None
