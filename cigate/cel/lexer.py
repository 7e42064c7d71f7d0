"""The lexical grammar of CEL: source text to tokens (cel-spec, langdef.md, "Syntax").

Literals leave here as values, so that nothing after this reads an escape or a number again. Tokens are three
lists side by side, found by one pattern: to load a policy of ten thousand rules is to do this most of the time.
"""

from __future__ import annotations

import math
import re
from typing import Final, NoReturn, TypeAlias

from attrs import define

from cigate.cel.error import CompileError
from cigate.cel.syntax import UInt

RESERVED: Final = frozenset(
    {"as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop"}
    | {"namespace", "package", "return", "var", "void", "while"}
)
"""Words that are no names, though a field or a method may be called so."""

KEYWORDS: Final = frozenset({"true", "false", "null", "in"})

WORD: Final = "word"
QUOTED: Final = "quoted name"
LITERAL: Final = "literal"
END: Final = "end"

Value: TypeAlias = int | float | str | bytes

_TOKEN: Final = re.compile(
    r"""
    (?:[ \t\n\f\r]++|//[^\r\n]*+)*+
    (?:(?P<word>(?!(?:[bB][rR]?|[rR])["'])[_a-zA-Z][_a-zA-Z0-9]*)
      |(?P<symbol>\|\||&&|==|!=|<=|>=|[-+*/%<>!?:,()\[\]{}]|\.(?![0-9]))
      |(?P<plain>"(?!"")[^"\\\r\n]*"|'(?!'')[^'\\\r\n]*')
      |(?P<digits>[0-9]{1,18}(?![0-9a-zA-Z_.]))
      |(?P<opening>(?:[bB]?[rR]?)(?:\"\"\"|'''|"|'))
      |(?P<number>\.?[0-9])
      |`(?P<quoted>[-_a-zA-Z0-9./ ]+)`
      |(?P<end>\Z)
    )""",
    re.VERBOSE,
)
"""A token after blanks and comments. Of literals the common forms are whole; the rest begin here only.

What is skipped is never given back (`*+`): else a character that starts nothing would be looked for within a
comment, and in every way that blanks can be split (threats B8).
"""

_NUMBER: Final = re.compile(
    r"(?P<float>[0-9]*\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+)"
    r"|(?P<integer>0x[0-9a-fA-F]+|[0-9]+)(?P<unsigned>[uU]?)"
)
_LETTER: Final = re.compile(r"[_a-zA-Z]")
_BLANK: Final = re.compile(r"(?:[ \t\n\f\r]++|//[^\r\n]*+)*+")
_ESCAPE: Final = re.compile(
    r"\\(?:(?P<simple>[abfnrtv\\?\"'`])|[xX](?P<hex>[0-9a-fA-F]{2})|(?P<octal>[0-3][0-7]{2})"
    r"|u(?P<short>[0-9a-fA-F]{4})|U(?P<long>[0-9a-fA-F]{8}))"
)
_SIMPLE: Final = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


@define(eq=False, repr=False)
class Tokens:
    """The tokens of a source, the end last.

    Args:
        kinds: of a symbol or a keyword its text; else WORD, QUOTED, LITERAL or END.
        values: the text of a name, the value of a literal.
        places: where each begins, a character offset.
    """

    kinds: list[str]
    values: list[Value]
    places: list[int]


def tokens(source: str) -> Tokens:
    """All tokens of a source.

    Raises:
        CompileError: `cel.syntax`, at the character that starts no token.
    """
    kinds: list[str] = []
    values: list[Value] = []
    places: list[int] = []
    match, at = _TOKEN.match, 0
    while True:
        found = match(source, at)
        if found is None:
            _refuse(source, at)
        group = found.lastgroup
        assert group is not None
        text = found[group]
        value: Value = text
        begins, at = found.start(group), found.end()
        if group == "symbol":
            kind = text
        elif group == "word":
            kind = text if text in KEYWORDS else WORD
        elif group == "plain":
            kind, value = LITERAL, text[1:-1]
        elif group == "digits":
            kind, value = LITERAL, int(text)
        elif group == "opening":
            kind = LITERAL
            value, at = _quoted(source, begins, text)
        elif group == "number":
            kind = LITERAL
            value, at = _number(source, begins)
        elif group == "quoted":
            kind, begins = QUOTED, begins - 1
        else:
            kind = END
        kinds.append(kind)
        values.append(value)
        places.append(begins)
        if kind == END:
            return Tokens(kinds, values, places)


def _refuse(source: str, at: int) -> NoReturn:
    blank = _BLANK.match(source, at)
    at = at if blank is None else blank.end()
    character = source[at]
    if character == "`":
        raise CompileError.at(
            source,
            at,
            "cel.syntax",
            "a name in backticks has letters, digits and _ - . / and blanks, and is closed",
        )
    hint = {"=": "equality is ==", "&": "and is &&", "|": "or is ||"}.get(character, "")
    raise CompileError.at(source, at, "cel.syntax", f"{character!r} starts nothing that CEL knows", fix=hint)


def _number(source: str, at: int) -> tuple[Value, int]:
    match = _NUMBER.match(source, at)
    assert match is not None, "the pattern of a token found a digit"
    end = match.end()
    if _LETTER.match(source, end):
        raise CompileError.at(source, end, "cel.syntax", "a number ends before a letter")
    if match["float"]:
        value = float(match["float"])
        if math.isinf(value):
            raise CompileError.at(source, at, "cel.syntax", "this number is too large for a double")
        return value, end
    digits = match["integer"]
    if len(digits) > 40:
        raise CompileError.at(source, at, "cel.syntax", "this number is too large for 64 bits")
    number = int(digits, 16) if digits[:2] == "0x" else int(digits)
    if not match["unsigned"]:
        return number, end
    if number >= 2**64:
        raise CompileError.at(source, at, "cel.syntax", "this number is too large for 64 bits")
    return UInt(number), end


def _quoted(source: str, at: int, opening: str) -> tuple[Value, int]:
    prefix = opening.rstrip("\"'").lower()
    quote = opening[len(prefix) :]
    raw, as_bytes = "r" in prefix, "b" in prefix
    parts: list[str | bytes] = []
    here = at + len(opening)
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
        return b"".join(part if isinstance(part, bytes) else part.encode() for part in parts), end
    return "".join(str(part) for part in parts), end


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
