"""Source text to syntax tree: a Pratt parser that stays within its bounds whatever it is given.

The caps keep every later stage cheap and safe from deep recursion (threats B3, B8): the parser itself
recurses only through brackets and the else branch of `?:`, which are counted, and the tree's depth is
measured without recursion. Chains of `&&` and of `||` are balanced, so that a long list of
alternatives is not deep; both are associative, errors included, so that grouping changes no value.
"""

from __future__ import annotations

from typing import Final

from attrs import define

from cigate.cel.error import CompileError
from cigate.cel.lexer import KEYWORDS, RESERVED, Token, tokens
from cigate.cel.syntax import (
    AND,
    IN,
    MACROS,
    NEGATE,
    NOT,
    OR,
    TERNARY,
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

MAX_SOURCE: Final = 16 * 1024
"""Bytes of UTF-8 in one expression."""

MAX_DEPTH: Final = 32
"""Levels of the syntax tree."""

MAX_NODES: Final = 2000
"""Nodes of the syntax tree."""

_MAX_BRACKETS: Final = MAX_DEPTH + 8
"""What the fully parenthesised form of a tree within MAX_DEPTH needs, and a little more."""

_STRENGTH: Final = {
    "||": 1,
    "&&": 2,
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">=", "in"), 3),
    **dict.fromkeys(("+", "-"), 4),
    **dict.fromkeys(("*", "/", "%"), 5),
}
_CONSTANTS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None}


def parse(source: str) -> Node:
    """The syntax tree of an expression.

    Raises:
        CompileError: `cel.syntax`, `cel.too-large`, `cel.arguments` (of a macro), `cel.unsupported`.
    """
    if len(source) > MAX_SOURCE or len(source.encode(errors="replace")) > MAX_SOURCE:
        raise CompileError("cel.too-large", f"an expression has at most {MAX_SOURCE} bytes", where="1:1")
    for at, character in enumerate(source):
        if 0xD800 <= ord(character) <= 0xDFFF:
            raise CompileError.at(source, at, "cel.syntax", "a lone surrogate is no text")
    parser = _Parser(source, tokens(source))
    node = parser.expression()
    parser.expect_end()
    _bound_depth(source, node)
    return node


def _bound_depth(source: str, node: Node) -> None:
    waiting = [(node, 1)]
    while waiting:
        found, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise _too_deep(source, found.at)
        waiting.extend((child, depth + 1) for child in children(found))


def _too_deep(source: str, at: int) -> CompileError:
    fix = "give a part of it a name under spec.variables"
    return CompileError.at(
        source, at, "cel.too-large", f"an expression nests at most {MAX_DEPTH} deep", fix=fix
    )


@define
class _Parser:
    source: str
    tokens: tuple[Token, ...]
    here: int = 0
    depth: int = 0
    nodes: int = 0

    def expression(self) -> Node:
        self.depth += 1
        if self.depth > _MAX_BRACKETS:
            raise _too_deep(self.source, self.peek.at)
        node = self.binary(1)
        if question := self.accept("?"):
            yes = self.binary(1)
            self.expect(":")
            node = self.made(Call(question.at, TERNARY, None, (node, yes, self.expression())))
        self.depth -= 1
        return node

    def binary(self, weakest: int) -> Node:
        left = self.unary()
        while (strength := _STRENGTH.get(self.operator(), 0)) >= weakest:
            token = self.take()
            right = self.binary(strength + 1)
            if token.text in ("&&", "||"):
                left = self.chain(token, left, right, strength)
            else:
                function = IN if token.text == "in" else f"_{token.text}_"
                left = self.made(Call(token.at, function, None, (left, right)))
        return left

    def operator(self) -> str:
        return self.peek.text if self.peek.kind in ("symbol", "word") else ""

    def chain(self, first: Token, left: Node, right: Node, strength: int) -> Node:
        operands, places = [left, right], [first.at]
        while more := self.accept(first.text):
            operands.append(self.binary(strength + 1))
            places.append(more.at)
        return self.balanced(AND if first.text == "&&" else OR, operands, places)

    def balanced(self, function: str, operands: list[Node], places: list[int]) -> Node:
        if len(operands) == 1:
            return operands[0]
        middle = (len(operands) + 1) // 2
        left = self.balanced(function, operands[:middle], places[: middle - 1])
        right = self.balanced(function, operands[middle:], places[middle:])
        return self.made(Call(places[middle - 1], function, None, (left, right)))

    def unary(self) -> Node:
        signs: list[Token] = []
        while sign := self.accept("!", "-"):
            signs.append(sign)
            if len(signs) > MAX_DEPTH:
                raise _too_deep(self.source, sign.at)
        minus = signs.pop().at if signs and signs[-1].text == "-" and _is_signed(self.peek.value) else None
        node = self.member(minus)
        for sign in reversed(signs):
            node = self.made(Call(sign.at, NOT if sign.text == "!" else NEGATE, None, (node,)))
        return node

    def member(self, minus: int | None) -> Node:
        node = self.primary() if minus is None else self.number(self.take(), minus)
        while True:
            if dot := self.accept("."):
                node = self.selection(node, dot)
            elif bracket := self.accept("["):
                optional = self.accept("?") is not None
                index = self.expression()
                self.expect("]")
                node = self.made(Index(bracket.at, node, index, optional))
            elif self.peek.text == "{" and isinstance(node, Name | Select):
                raise self.unsupported(
                    self.peek.at, "messages are not supported", "write a map: {'key': value}"
                )
            else:
                return node

    def number(self, token: Token, minus: int | None) -> Node:
        value = token.value
        if minus is not None and isinstance(value, int | float):
            value = -value
        at = token.at if minus is None else minus
        if type(value) is int and not -(2**63) <= value < 2**63:
            raise CompileError.at(self.source, at, "cel.syntax", "this number is too large for 64 bits")
        return self.made(Literal(at, value))

    def selection(self, operand: Node, dot: Token) -> Node:
        optional = self.accept("?") is not None
        name = self.take()
        if name.kind != "word" or name.text in KEYWORDS:
            raise self.unexpected(name, "a name after the dot")
        if optional or not self.accept("("):
            return self.made(Select(dot.at, operand, name.text, optional))
        arguments = self.several(")")
        if name.text in MACROS:
            return self.comprehension(operand, name, arguments)
        return self.made(Call(name.at, name.text, operand, arguments))

    def comprehension(self, operand: Node, name: Token, arguments: tuple[Node, ...]) -> Node:
        wanted = MACROS[name.text]
        if len(arguments) not in wanted:
            counts = " or ".join(str(count) for count in wanted)
            raise CompileError.at(
                self.source,
                name.at,
                "cel.arguments",
                f"{name.text} takes {counts} arguments, the variable among them; found {len(arguments)}",
            )
        variable, *rest = arguments
        if not isinstance(variable, Name):
            raise CompileError.at(
                self.source, variable.at, "cel.syntax", "the variable of a macro is a plain name"
            )
        return self.made(Comprehension(name.at, name.text, operand, variable.name, tuple(rest)))

    def primary(self) -> Node:
        token = self.take()
        match token.kind, token.text:
            case "literal", _:
                return self.number(token, None)
            case "word", ("true" | "false" | "null") as word:
                return self.made(Literal(token.at, _CONSTANTS[word]))
            case "word", word if word in RESERVED:
                fix = 'a field of this name is read as operand["name"]'
                raise CompileError.at(
                    self.source, token.at, "cel.syntax", f"{word!r} is a reserved word", fix=fix
                )
            case "word", word if word not in KEYWORDS:
                return self.call(token) if self.accept("(") else self.made(Name(token.at, word))
            case "symbol", "(":
                node = self.expression()
                self.expect(")")
                return node
            case "symbol", "[":
                return self.made(ListOf(token.at, self.several("]")))
            case "symbol", "{":
                return self.map(token)
            case "symbol", ".":
                raise self.unsupported(
                    token.at, "there is no container, so a leading dot is not supported", "drop it"
                )
            case _:
                raise self.unexpected(token, "a value")

    def call(self, name: Token) -> Node:
        arguments = self.several(")")
        if name.text != "has":
            return self.made(Call(name.at, name.text, None, arguments))
        if len(arguments) != 1:
            raise CompileError.at(
                self.source, name.at, "cel.arguments", "has takes one argument: has(agent.id)"
            )
        (argument,) = arguments
        if not isinstance(argument, Select) or argument.optional:
            raise CompileError.at(
                self.source, argument.at, "cel.arguments", "has takes the selection of a field: has(agent.id)"
            )
        return self.made(Has(name.at, argument.operand, argument.field))

    def map(self, brace: Token) -> Node:
        entries: list[tuple[Node, Node]] = []
        while not self.accept("}"):
            if self.peek.text == "?":
                raise self.unsupported(self.peek.at, "optional entries are not supported", "use a ternary")
            key = self.expression()
            self.expect(":")
            entries.append((key, self.expression()))
            if not self.accept(","):
                self.expect("}")
                break
        return self.made(MapOf(brace.at, tuple(entries)))

    def several(self, closing: str) -> tuple[Node, ...]:
        found: list[Node] = []
        while not self.accept(closing):
            if closing == "]" and self.peek.text == "?":
                raise self.unsupported(self.peek.at, "optional items are not supported", "use a ternary")
            found.append(self.expression())
            if not self.accept(","):
                self.expect(closing)
                break
            if closing == ")" and self.peek.text == ")":
                raise self.unexpected(self.peek, "an argument")
        return tuple(found)

    def made(self, node: Node) -> Node:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise CompileError.at(
                self.source, node.at, "cel.too-large", f"an expression has at most {MAX_NODES} parts"
            )
        return node

    @property
    def peek(self) -> Token:
        return self.tokens[self.here]

    def take(self) -> Token:
        token = self.tokens[self.here]
        if token.kind != "end":
            self.here += 1
        return token

    def accept(self, *symbols: str) -> Token | None:
        return self.take() if self.peek.kind == "symbol" and self.peek.text in symbols else None

    def expect(self, symbol: str) -> None:
        if not self.accept(symbol):
            raise self.unexpected(self.peek, repr(symbol))

    def expect_end(self) -> None:
        if self.peek.kind != "end":
            raise self.unexpected(self.peek, "an operator, or the end")

    def unexpected(self, token: Token, wanted: str) -> CompileError:
        found = "the end" if token.kind == "end" else repr(token.text[:40])
        return CompileError.at(self.source, token.at, "cel.syntax", f"expected {wanted}, found {found}")

    def unsupported(self, at: int, message: str, fix: str) -> CompileError:
        return CompileError.at(self.source, at, "cel.unsupported", message, fix=fix)


def _is_signed(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, UInt)
