"""The two ways in which an expression fails: it does not compile, or it has no value for these facts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from typing_extensions import override

from cigate.cel.syntax import line_column
from cigate.errors import CigateError, PolicyError

if TYPE_CHECKING:
    from collections.abc import Iterable


class CompileError(PolicyError):
    """The author must change the expression; the text shows its line with a caret under the place.

    Attributes:
        where: `line:column` within the expression, both from 1.
        offset: the character offset of the same place.
        excerpt: the source line, and a caret below it.

    Codes: `cel.syntax`, `cel.too-large`, `cel.unknown-name`, `cel.unknown-field`, `cel.type`,
    `cel.arguments`, `cel.literal` (a pattern, time or duration that is none), `cel.unsupported`.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        where: str = "",
        fix: str = "",
        offset: int = 0,
        excerpt: str = "",
    ) -> None:
        super().__init__(code, message, where=where, fix=fix)
        self.offset = offset
        self.excerpt = excerpt

    @classmethod
    def at(cls, source: str, at: int, code: str, message: str, *, fix: str = "") -> Self:
        """The error about what stands at a character offset of `source`."""
        line, column = line_column(source, at)
        return cls(
            code,
            message,
            where=f"{line}:{column}",
            fix=fix,
            offset=at,
            excerpt=_excerpt(source, line, column),
        )

    @override
    def __str__(self) -> str:
        return f"{super().__str__()}\n{self.excerpt}" if self.excerpt else super().__str__()

    @override
    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (self.code, self.message, self.where, self.fix, self.offset, self.excerpt))


class EvaluationError(CigateError):
    """The expression has no value for these facts. Doubt means no: whoever asked must not take it for false.

    Codes: `cel.no-such-field`, `cel.no-such-overload`, `cel.overflow`, `cel.divide-by-zero`,
    `cel.out-of-range` (an index), `cel.invalid` (a value that a conversion refuses), `cel.too-deep`,
    `cel.input`, `cel.result`, `cel.too-costly` (too many steps, or a value too large), `cel.failed` (anything
    else).
    """


def nearest(name: str, known: Iterable[str]) -> str:
    """A way out: the known name most like this one, or all of them where they are few."""
    from difflib import get_close_matches  # only whoever made a mistake waits for it

    names = sorted(known)
    close = get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(names)}" if 0 < len(names) <= _FEW else ""


_FEW: Final = 8


_WIDTH = 100


def _excerpt(source: str, line: int, column: int) -> str:
    text = source.split("\n")[line - 1]
    start = max(0, column - _WIDTH // 2)  # a long line is cut around the place, so that the caret is seen
    shown = "".join(c if c.isprintable() else " " for c in text[start : start + _WIDTH])
    return f"  {shown}\n  {' ' * (column - 1 - start)}^"


def _rebuild(code: str, message: str, where: str, fix: str, offset: int, excerpt: str) -> CompileError:
    return CompileError(code, message, where=where, fix=fix, offset=offset, excerpt=excerpt)
