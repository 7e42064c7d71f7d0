"""The lexical grammar of CEL: source text to tokens (cel-spec, langdef.md, "Syntax").

Literals leave here as values, so that nothing after this reads an escape or a number again.
"""

from __future__ import annotations

import math
import re
from typing import Final

from attrs import frozen

from cigate.cel.error import CompileError
from cigate.cel.syntax import UInt

KEYWORDS: Final = frozenset({"true", "false", "null", "in"})
RESERVED: Final = frozenset(
    {"as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop"}
    | {"namespace", "package", "return", "var", "void", "while"}
)

_BLANK = re.compile(r"(?:[ \t\n\f\r]+|//[^\r\n]*)*")
_NUMBER = re.compile(
    r"(?P<float>[0-9]*\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+)"
    r"|(?P<integer>0[xX][0-9a-fA-F]+|[0-9]+)(?P<unsigned>[uU]?)"
)
_WORD = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")
_QUOTE = re.compile(r"(?P<prefix>[rR]?[bB]?|[bB][rR])(?P<quote>\"\"\"|'''|\"|')")
_SYMBOL = re.compile(r"\|\||&&|==|!=|<=|>=|[-+*/%<>!?:.,()\[\]{}]")
_ESCAPE = re.compile(
    r"\\(?:(?P<simple>[abfnrtv\\?\"'`])|[xX](?P<hex>[0-9a-fA-F]{2})|(?P<octal>[0-3][0-7]{2})"
    r"|u(?P<short>[0-9a-fA-F]{4})|U(?P<long>[0-9a-fA-F]{8}))"
)
_SIMPLE: Final = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


@frozen
class Token:
    """One token: a `word`, a `symbol`, a `literal` with its value, or the `end`."""

    kind: str
    at: int
    text: str
    value: int | float | str | bytes | None = None


def tokens(source: str) -> tuple[Token, ...]:
    """All tokens of a source; the last one is the end.

    Raises:
        CompileError: `cel.syntax`, at the character that starts no token.
    """
    found: list[Token] = []
    at = _skip(source, 0)
    while at < len(source):
        token, at = _token(source, at)
        found.append(token)
        at = _skip(source, at)
    return (*found, Token("end", len(source), ""))


def _skip(source: str, at: int) -> int:
    blank = _BLANK.match(source, at)
    return blank.end() if blank else at


def _token(source: str, at: int) -> tuple[Token, int]:
    if quote := _QUOTE.match(source, at):
        return _quoted(source, at, quote)
    if number := _NUMBER.match(source, at):
        return _number(source, at, number)
    if word := _WORD.match(source, at):
        return Token("word", at, word[0]), word.end()
    if symbol := _SYMBOL.match(source, at):
        return Token("symbol", at, symbol[0]), symbol.end()
    if source[at] == "`":
        raise CompileError.at(
            source, at, "cel.unsupported", "names in backticks are not supported", fix='write operand["name"]'
        )
    hint = {"=": "equality is ==", "&": "and is &&", "|": "or is ||"}.get(source[at], "")
    raise CompileError.at(source, at, "cel.syntax", f"{source[at]!r} starts nothing that CEL knows", fix=hint)


def _number(source: str, at: int, match: re.Match[str]) -> tuple[Token, int]:
    end = match.end()
    if _WORD.match(source, end):
        raise CompileError.at(source, end, "cel.syntax", "a number ends before a letter")
    if match["float"]:
        value: int | float = float(match["float"])
        if math.isinf(value):
            raise CompileError.at(source, at, "cel.syntax", "this number is too large for a double")
        return Token("literal", at, match[0], value), end
    digits = match["integer"]
    if len(digits) > 40:
        raise CompileError.at(source, at, "cel.syntax", "this number is too large for 64 bits")
    value = int(digits, 16) if digits[:2] in ("0x", "0X") else int(digits)
    if match["unsigned"]:
        if value >= 2**64:
            raise CompileError.at(source, at, "cel.syntax", "this number is too large for 64 bits")
        value = UInt(value)
    return Token("literal", at, match[0], value), end


def _quoted(source: str, at: int, match: re.Match[str]) -> tuple[Token, int]:
    prefix, quote = match["prefix"].lower(), match["quote"]
    raw, as_bytes = "r" in prefix, "b" in prefix
    parts: list[str | bytes] = []
    here = match.end()
    while not source.startswith(quote, here):
        if here >= len(source) or (len(quote) == 1 and source[here] in "\r\n"):
            raise CompileError.at(source, at, "cel.syntax", f"this string is not closed by {quote}")
        if source[here] == "\\" and not raw:
            part, here = _escape(source, here, as_bytes)
        else:
            part, here = source[here], here + 1
        parts.append(part)
    end = here + len(quote)
    if as_bytes:
        data = b"".join(part if isinstance(part, bytes) else part.encode() for part in parts)
        return Token("literal", at, source[at:end], data), end
    return Token("literal", at, source[at:end], "".join(str(part) for part in parts)), end


def _escape(source: str, at: int, as_bytes: bool) -> tuple[str | bytes, int]:
    match = _ESCAPE.match(source, at)
    if match is None:
        raise CompileError.at(source, at, "cel.syntax", "CEL knows no such escape", fix="a backslash is \\\\")
    if match["simple"]:
        return _SIMPLE.get(match["simple"], match["simple"]), match.end()
    if match["short"] or match["long"]:
        code = int(match["short"] or match["long"], 16)
        if as_bytes:
            raise CompileError.at(source, at, "cel.syntax", "\\u belongs in strings; bytes take \\x")
        if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
            raise CompileError.at(source, at, "cel.syntax", "this is no Unicode scalar value")
        return chr(code), match.end()
    code = int(match["hex"], 16) if match["hex"] else int(match["octal"], 8)
    return bytes([code]) if as_bytes else chr(code), match.end()
