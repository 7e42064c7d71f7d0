"""Patterns, as `matches` and `regex.*` take them: RE2's, in linear time, as fast as Python allows.

In comes the text of a pattern; out comes a callable that says whether it is found in a text (`matcher`), a finder of
its places and groups (`finder`), or the complaint (`checked`). What must hold: the answer is RE2's. A pattern that
does not compile within its memory, a text that is too long for a pattern's size and a text that is not Unicode
raise `EvaluationError`: none of them is ever "no match".

Literals and simple classes need no engine (pattern_shapes.py). The rest is google-re2, by the compiled object below
its public face where that is there and answers rightly: the public `search` spends three times as long on offsets
that nobody asked for. RE2 itself never answers "no match" for want of memory: its `Match` goes on with a slower
engine (its `Set`, which does, is not used here).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final

from cigate.cel.error import EvaluationError
from cigate.cel.pattern_shapes import Test, shape

_LONGEST: Final = 1 << 16  # characters of a pattern
_MEMORY: Final = 4 << 20  # bytes that one compiled pattern may take
_STEPS: Final = (
    1 << 24
)  # a pattern's instructions times a text's bytes: a tenth of a second in RE2's slowest engine
_SEARCHES: Final = 4  # how often the whole of a text may be searched again for further matches
_KEPT: Final = 128  # compiled patterns; those of rules are held by their programs besides

Matcher = Callable[[str], bool]
Spans = list[tuple[int, int]]


def string_test(pattern: str) -> tuple[Test, tuple[str, ...]] | None:
    """The test of strings that a pattern is: `^a` is ("prefix", ("a",)), `^(a|b)$` ("equals", ("a", "b")).

    Returns:
        What holds of a text that matches: it equals, starts with, ends with or contains one of the literals.
        None if the pattern is more than that.
    """
    known = shape(pattern)
    return known.test() if known else None


@lru_cache(maxsize=1024)
def checked(pattern: str) -> None:
    """See whether a pattern is one.

    Raises:
        ValueError: it is none; in RE2's words.
    """
    _compiled(pattern, groups=True)


@lru_cache(maxsize=_KEPT)
def matcher(pattern: str) -> Matcher:
    """What says whether a pattern is found anywhere in a text.

    Args:
        pattern: in RE2's syntax.

    Returns:
        A callable. Of a text that RE2 must see it raises `EvaluationError`: cel.invalid if the text is not Unicode,
        cel.too-costly if it is too long for the size of the pattern.

    Raises:
        EvaluationError: cel.invalid; the pattern is none, or takes too much memory.
    """
    known = shape(pattern)
    if known:
        test = known.test()
        if test:
            return _tester(*test)
        linear = known.linear()
        if linear is not None:
            written = re.compile(linear, re.ASCII)
            return _classes(written.fullmatch if known.end else written.match)
    return _searcher(_evaluated(pattern, groups=False))


class Finder:
    """Finds the places of a pattern in a text, with its groups.

    Attributes:
        groups: how many groups it has.
    """

    def __init__(self, pattern: str) -> None:
        self._compiled = _evaluated(pattern, groups=True)
        self._longest = _longest(self._compiled)
        self.groups: int = self._compiled.NumberOfCapturingGroups()

    def each(self, text: bytes) -> Iterator[Spans]:
        """The matches from left to right, each with the spans of its groups ((-1, -1): took no part).

        An empty match that touches the end of the one before is left out.

        Args:
            text: in UTF-8, as `encoded` gives it.

        Raises:
            EvaluationError: cel.too-costly; the text is too long for the pattern.
        """
        if len(text) > self._longest:
            raise _too_long()
        match, anywhere, end = self._compiled.Match, _engine().RE2.Anchor.UNANCHORED, len(text)
        at, before, left = 0, -1, _SEARCHES * self._longest
        while at <= end:
            left -= end - at  # a search may look at all that is left, however little it takes
            if left < 0:
                raise _too_long()
            spans = match(anywhere, text, at, end)
            begin, stop = spans[0]
            if begin < 0:
                return
            if stop > begin or begin != before:
                yield spans
            before = stop
            at = stop if stop > begin else _after(text, begin)


@lru_cache(maxsize=_KEPT)
def finder(pattern: str) -> Finder:
    """The finder of a pattern.

    Raises:
        EvaluationError: cel.invalid; the pattern is none, or takes too much memory.
    """
    return Finder(pattern)


def encoded(text: str) -> bytes:
    """A text as RE2 reads it.

    Raises:
        EvaluationError: cel.invalid; it has half of a surrogate pair.
    """
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise EvaluationError("cel.invalid", "the text is not valid Unicode") from None


def _tester(kind: Test, literals: tuple[str, ...]) -> Matcher:
    first = literals[0]
    if kind == "equals":
        return frozenset(literals).__contains__
    wanted = first if len(literals) == 1 else literals
    if kind == "prefix":
        return lambda text: text.startswith(wanted)
    if kind == "suffix":
        return lambda text: text.endswith(wanted)
    return lambda text: first in text


def _classes(match: Callable[[str], object]) -> Matcher:
    def matches(text: str) -> bool:
        if not text.isascii():
            encoded(text)  # `[^/]` must not take what is no character
        return match(text) is not None

    return matches


def _searcher(compiled: Any) -> Matcher:
    match, anywhere, longest = (
        compiled.Match,
        _engine().RE2.Anchor.UNANCHORED,
        _longest(compiled),
    )

    def matches(text: str) -> bool:
        try:
            data = text.encode()
        except UnicodeEncodeError:
            raise EvaluationError("cel.invalid", "the text is not valid Unicode") from None
        size = len(data)
        if size > longest:
            raise _too_long()
        return match(anywhere, data, 0, size)[0][0] >= 0  # type: ignore[no-any-return]

    return matches


def _longest(compiled: Any) -> int:
    return _STEPS // max(int(compiled.ProgramSize()), 1)


def _too_long() -> EvaluationError:
    return EvaluationError("cel.too-costly", "the text is too long to be searched for this pattern")


def _after(text: bytes, at: int) -> int:
    at += 1
    while at < len(text) and text[at] & 0xC0 == 0x80:  # within a character
        at += 1
    return at


def _evaluated(pattern: str, *, groups: bool) -> Any:
    try:
        return _compiled(pattern, groups=groups)
    except ValueError:
        # RE2 quotes the pattern, and that may come from a fact
        raise EvaluationError("cel.invalid", "this is no pattern that RE2 takes") from None


def _compiled(pattern: str, *, groups: bool) -> Any:
    if len(pattern) > _LONGEST:
        raise ValueError("pattern too large")
    engine = _engine()
    options = engine.RE2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY
    options.never_capture = not groups  # whether it matches is told sooner without
    try:
        found = engine.RE2(pattern.encode(), options)
    except UnicodeEncodeError:
        raise ValueError("invalid UTF-8") from None
    if not found.ok():
        complaint = found.error() or b"pattern too large - compile failed"
        raise ValueError(
            complaint.decode(errors="replace") if isinstance(complaint, bytes) else str(complaint)
        )
    return found


@lru_cache(maxsize=1)
def _engine() -> Any:
    """The module with the compiled pattern, or one of the same face over what google-re2 makes public."""
    import re2  # a native module, that only a pattern beyond literals needs

    below = getattr(re2, "_re2", None)
    try:
        if below is not None and _answers(below):
            return below
    except (AttributeError, TypeError, ValueError, IndexError, re2.error):
        pass  # another version, whose inner face is another: the public one serves
    return _Public


def _answers(engine: Any) -> bool:
    options = engine.RE2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY
    right = engine.RE2("é(b)?$".encode(), options)
    wrong = engine.RE2(b"(", options)
    anywhere, text = engine.RE2.Anchor.UNANCHORED, "aéb".encode()
    return (
        right.ok()
        and not wrong.ok()
        and bool(wrong.error())
        and right.NumberOfCapturingGroups() == 1
        and right.ProgramSize() > 0
        and right.Match(anywhere, text, 0, 4) == [(1, 4), (3, 4)]
        and right.Match(anywhere, "é\n".encode(), 0, 3)[0] == (-1, -1)
    )


class _PublicPattern:
    """google-re2's public pattern, seen as the object below it."""

    def __init__(self, pattern: bytes, options: Any) -> None:
        import re2

        self._error = b""
        try:
            self._pattern = re2.compile(pattern, options)
        except re2.error as error:
            self._error = error.args[0] if isinstance(error.args[0], bytes) else str(error).encode()

    def ok(self) -> bool:
        return not self._error

    def error(self) -> bytes:
        return self._error

    def ProgramSize(self) -> int:
        return int(self._pattern.programsize)

    def NumberOfCapturingGroups(self) -> int:
        return int(self._pattern.groups)

    def Match(self, _: object, text: bytes, begin: int, end: int) -> Spans:
        found = self._pattern.search(text, begin, end)
        if found is None:
            return [(-1, -1)]
        return [found.span(group) for group in range(self._pattern.groups + 1)]


class _Public:
    """The public face, as `_engine` gives it."""

    class RE2(_PublicPattern):
        """A compiled pattern."""

        class Anchor:
            """Where a search begins; the public face knows by its methods."""

            UNANCHORED = 0

        @staticmethod
        def Options() -> Any:
            """Settings, of the public class."""
            import re2

            return re2.Options()
