"""Syntax tree to source text, so that parsing it again gives the same tree.

`render_readable` is what people are shown; `render` puts every operator in parentheses, for another parser to
read. A chain of `&&` or `||` is written without inner parentheses: the parser groups it anew, and no value changes.
"""

from __future__ import annotations

import re
from typing import Final

from cigate.cel.lexer import KEYWORDS
from cigate.cel.macros import spelt
from cigate.cel.syntax import (
    AND,
    BINARY,
    NEGATE,
    NOT,
    OPERATORS,
    OR,
    PRODUCTS,
    RELATIONS,
    SUMS,
    TERNARY,
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
    UInt,
    children,
)


def render(node: Node) -> str:
    """The expression with every operator in parentheses, so that no two parsers can read it differently."""
    match node:
        case Call(function=function, target=None, arguments=parts) if function in OPERATORS:
            return f"({_operator(function, tuple(render(part) for part in parts))})"
        case Literal(value=value) if _is_negative(value):
            return f"({render_literal(value)})"
        case _:
            return _plain(node, tuple(render(child) for child in children(node)))


def render_readable(node: Node) -> str:
    """The expression as a person would write it: parentheses only where the meaning needs them."""
    return _readable(node, 0)


def render_literal(value: bool | int | float | str | bytes | None) -> str:
    """A constant as CEL writes it."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case UInt():
            return f"{int(value)}u"
        case int():
            return str(value)
        case float():
            return repr(value)
        case str():
            return '"' + "".join(_escaped(character) for character in value) + '"'
        case bytes():
            return 'b"' + "".join(_escaped_byte(byte) for byte in value) + '"'


def _plain(node: Node, parts: tuple[str, ...]) -> str:
    match node:
        case Literal(value=value):
            return render_literal(value)
        case Name(name=name, absolute=absolute):
            return f".{name}" if absolute else spelt(name)
        case Select(field=name, optional=optional):
            return f"{parts[0]}.{'?' if optional else ''}{_field(name)}"
        case Index(optional=optional):
            return f"{parts[0]}[{'?' if optional else ''}{parts[1]}]"
        case Has(field=name):
            return f"has({parts[0]}.{_field(name)})"
        case Call(function=function, target=None):
            return f"{function}({', '.join(parts)})"
        case Call(function=function):
            return f"{parts[0]}.{function}({', '.join(parts[1:])})"
        case ListOf(optional=optional):
            return f"[{', '.join('?' * (at in optional) + item for at, item in enumerate(parts))}]"
        case MapOf(optional=optional):
            pairs = enumerate(zip(parts[::2], parts[1::2], strict=True))
            return (
                "{" + ", ".join(f"{'?' * (at in optional)}{key}: {value}" for at, (key, value) in pairs) + "}"
            )
        case Comprehension(kind=kind, variable=variable, second=second):
            variables = (spelt(variable), *((spelt(second),) if second else ()))
            return f"{parts[0]}.{kind}({', '.join((*variables, *parts[1:]))})"
        case Bind(variable=variable):
            return f"cel.bind({spelt(variable)}, {parts[0]}, {parts[1]})"


_WORD: Final = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")


def _field(name: str) -> str:
    return name if _WORD.fullmatch(name) and name not in KEYWORDS else f"`{name}`"


def _operator(function: str, parts: tuple[str, ...]) -> str:
    match function, parts:
        case "!_", (only,):
            return f"!{only}"
        case "-_", (only,):
            return f"-({only})" if only[0].isdigit() else f"-{only}"  # else the minus joins the number
        case "_?_:_", (condition, yes, no):
            return f"{condition} ? {yes} : {no}"
        case _:
            left, right = parts
            return f"{left} {BINARY[function]} {right}"


_STRENGTH: Final = {
    TERNARY: 1,
    OR: 2,
    AND: 3,
    **dict.fromkeys(RELATIONS, 4),
    **dict.fromkeys(SUMS, 5),
    **dict.fromkeys(PRODUCTS, 6),
    NOT: 7,
    NEGATE: 7,
}
_MEMBER: Final = 8


def _readable(node: Node, needed: int) -> str:
    """The source of a node, in parentheses if it binds less tightly than its place needs."""
    if isinstance(node, Call) and node.target is None and node.function in OPERATORS:
        strength = _STRENGTH[node.function]
        parts = tuple(
            _readable(part, wanted)
            for part, wanted in zip(node.arguments, _operands_need(node.function, strength), strict=True)
        )
        text = _operator(node.function, parts)
        return f"({text})" if strength < needed else text
    if isinstance(node, Literal):
        text = render_literal(node.value)
        return f"({text})" if _is_negative(node.value) and needed >= _STRENGTH[NOT] else text
    below = children(node)
    leads = isinstance(node, Select | Index | Has | Comprehension) or (
        isinstance(node, Call) and node.target is not None
    )
    return _plain(
        node, tuple(_readable(child, _MEMBER if leads and at == 0 else 0) for at, child in enumerate(below))
    )


def _operands_need(function: str, strength: int) -> tuple[int, ...]:
    if function == TERNARY:
        return (strength + 1, strength + 1, strength)
    if function in (NOT, NEGATE):
        return (strength,)
    if function in (AND, OR):  # associative, whatever the errors: grouping changes nothing
        return (strength, strength)
    return (strength, strength + 1)


def _is_negative(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and str(value).startswith("-")


_SHORT: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _escaped(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    if character.isascii() and character.isprintable():
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _escaped_byte(byte: int) -> str:
    character = chr(byte)
    if character in _SHORT:
        return _SHORT[character]
    return character if 0x20 <= byte < 0x7F else f"\\x{byte:02x}"
