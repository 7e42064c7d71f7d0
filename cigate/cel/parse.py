"""Source text to syntax tree: a parser by precedence that stays within its bounds whatever it is given.

The caps keep every later stage cheap and safe from deep recursion (threats B3, B8): the parser itself
recurses only through brackets and the else branch of `?:`, which are counted, and the tree's depth is
measured without recursion. Chains of `&&` and of `||` are balanced, so that a long list of
alternatives is not deep; both are associative, errors included, so that grouping changes no value.
"""

from __future__ import annotations

from typing import Final, NoReturn

from attrs import define

from cigate.cel.error import CompileError
from cigate.cel.lexer import END, LITERAL, QUOTED, RESERVED, WORD, Value, tokens
from cigate.cel.macros import MACRO_NAMES, expanded
from cigate.cel.syntax import (
    IN,
    NEGATE,
    NOT,
    TERNARY,
    Call,
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

MAX_SOURCE: Final = 16 * 1024
"""Bytes of UTF-8 in one expression."""

MAX_DEPTH: Final = 64
"""Levels of the syntax tree."""

MAX_NODES: Final = 2000
"""Nodes of the syntax tree."""

_MAX_BRACKETS: Final = MAX_DEPTH + 8
"""What the fully parenthesised form of a tree within MAX_DEPTH needs, and a little more."""

_OR, _AND = 1, 2
_STRENGTH: Final = {
    "||": _OR,
    "&&": _AND,
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">=", "in"), 3),
    **dict.fromkeys(("+", "-"), 4),
    **dict.fromkeys(("*", "/", "%"), 5),
}
_FUNCTION: Final = {sign: IN if sign == "in" else f"_{sign}_" for sign in _STRENGTH}
_CONSTANTS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None}


def parse(source: str) -> Node:
    """The syntax tree of an expression.

    Raises:
        CompileError: `cel.syntax`, `cel.too-large`, `cel.arguments` (of a macro), `cel.unsupported`.
    """
    if not source.isascii():
        _bound_text(source)
    elif len(source) > MAX_SOURCE:
        raise _too_long()
    found = tokens(source)
    parser = _Parser(source, found.kinds, found.values, found.places)
    try:
        node = parser.expression()
    except RecursionError:  # the caps forbid it, unless the caller is almost out of stack itself
        raise CompileError(
            "cel.too-large", "the stack is too short to parse this here", where="1:1"
        ) from None
    if found.kinds[parser.here] != END:
        parser.refuse("an operator, or the end")
    if len(found.kinds) > MAX_DEPTH:  # each level and each node has a token of its own
        _bound_tree(source, node)
    return node


def _bound_text(source: str) -> None:
    for at, character in enumerate(source):
        if 0xD800 <= ord(character) <= 0xDFFF:
            raise CompileError.at(source, at, "cel.syntax", "a lone surrogate is no text")
    if len(source.encode()) > MAX_SOURCE:
        raise _too_long()


def _bound_tree(source: str, node: Node) -> None:
    waiting = [(node, 1)]
    nodes = 0
    while waiting:
        found, depth = waiting.pop()
        nodes += 1
        if depth > MAX_DEPTH:
            raise _too_deep(source, found.at)
        if nodes > MAX_NODES:
            raise CompileError.at(
                source, found.at, "cel.too-large", f"an expression has at most {MAX_NODES} parts"
            )
        waiting.extend([(child, depth + 1) for child in children(found)])


def _too_long() -> CompileError:
    return CompileError("cel.too-large", f"an expression has at most {MAX_SOURCE} bytes", where="1:1")


def _too_deep(source: str, at: int) -> CompileError:
    fix = "give a part of it a name under spec.variables"
    return CompileError.at(
        source, at, "cel.too-large", f"an expression nests at most {MAX_DEPTH} deep", fix=fix
    )


@define(eq=False, repr=False)
class _Parser:
    source: str
    kinds: list[str]
    values: list[Value]
    places: list[int]
    here: int = 0
    depth: int = 0

    def expression(self) -> Node:
        """`condition ? yes : no`, or what binds tighter."""
        self.depth += 1
        if self.depth > _MAX_BRACKETS:
            raise _too_deep(self.source, self.places[self.here])
        node = self.operand()
        kind = self.kinds[self.here]
        if kind in _STRENGTH:
            node = self.operation(node)
            kind = self.kinds[self.here]
        if kind == "?":
            at = self.take()
            yes = self.operation(self.operand())
            self.expect(":")
            node = Call(at, TERNARY, None, (node, yes, self.expression()))
        self.depth -= 1
        return node

    def operation(self, first: Node) -> Node:
        """Binary operators, by a stack of those that still wait for a tighter one on their right."""
        operands = [first]
        waiting: list[tuple[int, int, str]] = []
        while (strength := _STRENGTH.get(self.kinds[self.here])) is not None:
            while waiting and (waiting[-1][0] > strength or waiting[-1][0] == strength > _AND):
                _reduce(operands, waiting)
            waiting.append((strength, self.places[self.here], _FUNCTION[self.kinds[self.here]]))
            self.here += 1
            operands.append(self.operand())
        while waiting:
            _reduce(operands, waiting)
        return operands[0]

    def operand(self) -> Node:
        """Signs, then a value with what is selected of it and called on it."""
        kinds = self.kinds
        signs: list[tuple[str, int]] = []
        while (kind := kinds[self.here]) == "!" or kind == "-":
            signs.append((NOT if kind == "!" else NEGATE, self.places[self.here]))
            self.here += 1
            if len(signs) > MAX_DEPTH:
                raise _too_deep(self.source, signs[-1][1])
        if signs and signs[-1][0] == NEGATE and kind == LITERAL and _is_signed(self.values[self.here]):
            node: Node = self.number(signs.pop()[1])
        else:
            node = self.primary()
        while True:
            kind = kinds[self.here]
            if kind == ".":
                node = self.selection(node)
            elif kind == "[":
                at = self.take()
                optional = self.accept("?")
                index = self.expression()
                self.expect("]")
                node = Index(at, node, index, optional)
            else:
                break
        if kind == "{" and isinstance(node, Name | Select):
            self.unsupported("messages are not supported", "write a map: {'key': value}")
        for function, at in reversed(signs):
            node = Call(at, function, None, (node,))
        return node

    def primary(self) -> Node:
        kind = self.kinds[self.here]
        if kind == WORD:
            return self.named(absolute=False)
        if kind == LITERAL:
            return self.number(None)
        if kind in _CONSTANTS:
            return Literal(self.take(), _CONSTANTS[kind])
        if kind == "(":
            self.here += 1
            node = self.expression()
            self.expect(")")
            return node
        if kind == "[":
            return self.listed(self.take())
        if kind == "{":
            return self.mapped(self.take())
        if kind == ".":
            self.here += 1
            if self.kinds[self.here] == WORD:
                return self.named(absolute=True)
            self.refuse("a name after the dot")
        return self.refuse("a value")

    def named(self, *, absolute: bool) -> Node:
        """A name, or the call of a function; `absolute` after a leading dot."""
        here = self.here
        at, word = self.places[here], str(self.values[here])
        if word in RESERVED:
            fix = 'a field of this name is read as operand["name"]'
            raise CompileError.at(self.source, at, "cel.syntax", f"{word!r} is a reserved word", fix=fix)
        self.here = here + 1
        if self.kinds[here + 1] != "(":
            return Name(at, word, absolute)
        return self.called(at, f".{word}" if absolute else word, None)

    def selection(self, operand: Node) -> Node:
        """`operand.field`, `operand.?field`, or the call of a method."""
        dot = self.here
        optional = self.kinds[dot + 1] == "?"
        here = self.here = dot + 2 if optional else dot + 1
        kind, name = self.kinds[here], str(self.values[here])
        if kind not in (WORD, QUOTED):
            self.refuse("a name after the dot")
        self.here = here + 1
        if kind == WORD and self.kinds[here + 1] == "(" and not optional:
            return self.called(self.places[here], name, operand)
        return Select(self.places[dot], operand, name, optional)

    def called(self, at: int, name: str, target: Node | None) -> Node:
        self.here += 1
        arguments: list[Node] = []
        if not self.accept(")"):
            arguments.append(self.argument())
            while self.accept(","):
                arguments.append(self.argument())
            self.expect(")")
        given = tuple(arguments)
        if name in MACRO_NAMES:
            node = expanded(self.source, at, name, target, given)
            if node is not None:
                return node
        return Call(at, name, target, given)

    def argument(self) -> Node:
        if self.kinds[self.here] == ")":
            self.refuse("an argument")
        return self.expression()

    def listed(self, at: int) -> Node:
        items: list[Node] = []
        optional: list[int] = []
        if self.accept(","):  # the grammar has a last comma even where there is nothing before it
            self.expect("]")
            return ListOf(at, ())
        while not self.accept("]"):
            if self.accept("?"):
                optional.append(len(items))
            items.append(self.expression())
            if not self.accept(","):
                self.expect("]")
                break
        return ListOf(at, tuple(items), tuple(optional))

    def mapped(self, at: int) -> Node:
        entries: list[tuple[Node, Node]] = []
        optional: list[int] = []
        if self.accept(","):
            self.expect("}")
            return MapOf(at, ())
        while not self.accept("}"):
            if self.accept("?"):
                optional.append(len(entries))
            key = self.expression()
            self.expect(":")
            entries.append((key, self.expression()))
            if not self.accept(","):
                self.expect("}")
                break
        return MapOf(at, tuple(entries), tuple(optional))

    def number(self, minus: int | None) -> Node:
        """A literal; the minus before a number belongs to it, so that the least int64 can be written."""
        at, value = self.places[self.here], self.values[self.here]
        self.here += 1
        if minus is not None and isinstance(value, int | float):
            at, value = minus, -value
        if type(value) is int and not -(2**63) <= value < 2**63:
            raise CompileError.at(self.source, at, "cel.syntax", "this number is too large for 64 bits")
        return Literal(at, value)

    def take(self) -> int:
        """Go on by one token; where it begins."""
        self.here += 1
        return self.places[self.here - 1]

    def accept(self, symbol: str) -> bool:
        if self.kinds[self.here] != symbol:
            return False
        self.here += 1
        return True

    def expect(self, symbol: str) -> None:
        if self.kinds[self.here] != symbol:
            self.refuse(repr(symbol))
        self.here += 1

    def refuse(self, wanted: str) -> NoReturn:
        kind, at = self.kinds[self.here], self.places[self.here]
        found = "the end"
        if kind != END:
            ends = self.places[self.here + 1]
            found = repr(
                str(self.values[self.here])[:40] if kind != LITERAL else self.source[at:ends].rstrip()[:40]
            )
        raise CompileError.at(self.source, at, "cel.syntax", f"expected {wanted}, found {found}")

    def unsupported(self, message: str, fix: str) -> NoReturn:
        raise CompileError.at(self.source, self.places[self.here], "cel.unsupported", message, fix=fix)


def _reduce(operands: list[Node], waiting: list[tuple[int, int, str]]) -> None:
    """Put the last operator that waits over its operands; of `&&` and `||`, all of them in a row."""
    strength, at, function = waiting.pop()
    if strength > _AND:
        right = operands.pop()
        operands[-1] = Call(at, function, None, (operands[-1], right))
        return
    places = [at]
    while waiting and waiting[-1][0] == strength:
        places.append(waiting.pop()[1])
    places.reverse()
    first = len(operands) - len(places) - 1
    chained = operands[first:]
    del operands[first:]
    operands.append(_balanced(function, *_flat(function, chained, places)))


def _flat(function: str, operands: list[Node], places: list[int]) -> tuple[list[Node], list[int]]:
    """The operands of a chain and the places of its operators, without the brackets around parts of it."""
    if not any(_is_chain(operand, function) for operand in operands):
        return operands, places
    leaves: list[Node] = []
    between: list[int] = []
    for operand, place in zip(operands, (*places, -1), strict=True):
        if isinstance(operand, Call) and _is_chain(operand, function):
            below, within = _flat(function, list(operand.arguments), [operand.at])
            leaves += below
            between += within
        else:
            leaves.append(operand)
        between.append(place)
    return leaves, between[:-1]


def _is_chain(node: Node, function: str) -> bool:
    return type(node) is Call and node.function == function and node.target is None


def _balanced(function: str, operands: list[Node], places: list[int]) -> Node:
    if len(operands) == 1:
        return operands[0]
    middle = (len(operands) + 1) // 2
    left = _balanced(function, operands[:middle], places[: middle - 1])
    right = _balanced(function, operands[middle:], places[middle:])
    return Call(places[middle - 1], function, None, (left, right))


def _is_signed(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, UInt)
