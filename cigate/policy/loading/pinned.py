"""What a rule says that facts must equal: where one of them is something else, the rule is false.

It is false whatever its other parts are worth or fail with, for CEL's `&&` is false beside anything that is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cigate.cel.syntax import AND, IN, Call, ListOf, Literal, Node, path_of

Pins = Mapping[str, frozenset[str]]


def pins(node: Node | None) -> Pins:
    """What a rule says that facts must equal for it to be true: dotted path to the values that will do."""
    found: dict[str, frozenset[str]] = {}
    for path, values in _pins(node) if node is not None else ():
        found[path] = found[path] & values if path in found else values
    return found


def _pins(node: Node) -> Iterator[tuple[str, frozenset[str]]]:
    match node:
        case Call(function=function, target=None, arguments=parts) if function == AND:
            for part in parts:
                yield from _pins(part)
        case Call(function="_==_", target=None, arguments=(left, right)):
            for fact, value in ((left, right), (right, left)):
                path = path_of(fact)
                if path is not None and isinstance(value, Literal) and isinstance(value.value, str):
                    yield path, frozenset((value.value,))
        case Call(function=function, target=None, arguments=(fact, ListOf(items=items))) if function == IN:
            path = path_of(fact)
            values = [
                item.value for item in items if isinstance(item, Literal) and isinstance(item.value, str)
            ]
            if path is not None and values and len(values) == len(items):
                yield path, frozenset(values)
        case _:
            pass
