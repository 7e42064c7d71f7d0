"""The macros of CEL: calls that are rewritten while parsing (cel-spec, langdef.md, "Macros").

In come the name, the target and the arguments of a call; out comes the node it stands for, or None where it is
no macro. `cel.block` and the names that go with it, which an optimiser writes, become bindings whose names
(`@index0`) no source can spell: so they never meet a fact.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import reduce
from typing import Final

from cigate.cel.error import CompileError
from cigate.cel.syntax import MACROS, Bind, Comprehension, Has, ListOf, Literal, Name, Node, Select

_QUANTIFIERS: Final = frozenset({"all", "exists", "exists_one", "existsOne"})
_GENERATED: Final = {"index": ("@index{}", 1), "iterVar": ("@it:{}:{}", 2), "accuVar": ("@ac:{}:{}", 2)}
_OF_CEL: Final = frozenset({"bind", "block", *_GENERATED})
_SPELT: Final = re.compile(r"@(index|it:|ac:)([0-9]+)(?::([0-9]+))?\Z")

MACRO_NAMES: Final = frozenset({"has", *MACROS, *_OF_CEL})
"""Whatever has another name is no macro."""


def expanded(
    source: str, at: int, name: str, target: Node | None, arguments: tuple[Node, ...]
) -> Node | None:
    """What a call stands for if it is a macro.

    Raises:
        CompileError: `cel.arguments`, it is one, but not with these arguments; `cel.syntax`, its variable is
            no plain name.
    """
    if target is None:
        return _has(source, at, arguments) if name == "has" else None
    if name in MACROS:
        return _comprehension(source, at, name, target, arguments)
    if name in _OF_CEL and isinstance(target, Name) and target.name == "cel":
        return _of_cel(source, at, name, arguments)
    return None


def spelt(name: str) -> str:
    """How a name is written: one that only a macro makes is the call of that macro."""
    found = _SPELT.match(name)
    if found is None:
        return name
    kind, first, second = found.groups()
    return (
        f"cel.index({first})"
        if kind == "index"
        else f"cel.{'iterVar' if kind == 'it:' else 'accuVar'}({first}, {second})"
    )


def variables_of(kind: str, arguments: int) -> int:
    """How many variables a comprehension macro has with so many arguments, the variables among them."""
    return 2 if kind.startswith("transform") or (kind in _QUANTIFIERS and arguments == 3) else 1


def _has(source: str, at: int, arguments: tuple[Node, ...]) -> Node:
    if len(arguments) != 1:
        raise CompileError.at(source, at, "cel.arguments", "has takes one argument: has(agent.id)")
    (argument,) = arguments
    if not isinstance(argument, Select) or argument.optional:
        raise CompileError.at(
            source, argument.at, "cel.arguments", "has takes the selection of a field: has(agent.id)"
        )
    return Has(at, argument.operand, argument.field)


def _comprehension(source: str, at: int, kind: str, target: Node, arguments: tuple[Node, ...]) -> Node:
    _counted(source, at, kind, arguments, MACROS[kind], ", the variable among them")
    count = variables_of(kind, len(arguments))
    names = tuple(_variable(source, argument) for argument in arguments[:count])
    if len(set(names)) < count:
        raise CompileError.at(
            source, arguments[1].at, "cel.arguments", f"{kind} takes two different variables"
        )
    return Comprehension(at, kind, target, names[0], arguments[count:], "".join(names[1:]))


def _of_cel(source: str, at: int, name: str, arguments: tuple[Node, ...]) -> Node:
    if name == "bind":
        _counted(source, at, "cel.bind", arguments, (3,), ", the variable among them")
        return Bind(at, _variable(source, arguments[0]), arguments[1], arguments[2])
    if name == "block":
        return _block(source, at, arguments)
    pattern, count = _GENERATED[name]
    _counted(source, at, f"cel.{name}", arguments, (count,))
    for argument in arguments:
        if not isinstance(argument, Literal) or type(argument.value) is not int or argument.value < 0:
            raise CompileError.at(
                source, argument.at, "cel.arguments", f"cel.{name} takes the number of a place"
            )
    return Name(
        at, pattern.format(*(argument.value for argument in arguments if isinstance(argument, Literal)))
    )


def _block(source: str, at: int, arguments: tuple[Node, ...]) -> Node:
    _counted(source, at, "cel.block", arguments, (2,))
    bound, body = arguments
    if not isinstance(bound, ListOf) or bound.optional:
        raise CompileError.at(
            source, bound.at, "cel.arguments", "cel.block takes a list of what it names first"
        )
    numbered = reversed(list(enumerate(bound.items)))
    return reduce(lambda inner, one: Bind(at, f"@index{one[0]}", one[1], inner), numbered, body)


def _variable(source: str, node: Node) -> str:
    if not isinstance(node, Name) or node.absolute:
        raise CompileError.at(source, node.at, "cel.syntax", "the variable of a macro is a plain name")
    return node.name


def _counted(
    source: str, at: int, name: str, arguments: tuple[Node, ...], wanted: Sequence[int], among: str = ""
) -> None:
    if len(arguments) not in wanted:
        counts = " or ".join(map(str, wanted))
        raise CompileError.at(
            source, at, "cel.arguments", f"{name} takes {counts} arguments{among}; found {len(arguments)}"
        )
