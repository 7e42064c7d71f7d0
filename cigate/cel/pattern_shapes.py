"""The patterns whose meaning is plain enough to do without an engine.

In comes the text of a pattern, out comes what it is: a test of strings (`equals`, `prefix`, `suffix`, `contains`),
an equal pattern for Python's `re` that takes linear time there, or None, which leaves it to RE2. What must hold:
a shape means exactly what RE2 says of the pattern, for every text; where this file is in doubt it says None.

Theory. A pattern here is a `^` or none, some steps, a `$` or none. A step is a set of characters, how often it may
stand there (`[a-z]{2,5}`), or a group of literals (`(dev|test)`). Python's engine tries again from every place where
a repetition may end earlier, so it is trusted only where that leads nowhere: each repetition that varies is followed
by characters that it can't take itself (`[a-z]+/`), so giving back fails at once, but for the last one,
which then has only a short rest of fixed length to try again. `$` is the very end in RE2, so `fullmatch` stands
for `^…$`; `.` is all but a newline in both. Classes are written out by their characters, `\\d` too, which is ASCII in
RE2 and Unicode in Python; flags and assertions are left to RE2.
"""

from __future__ import annotations

import re
import string
from itertools import pairwise, product
from typing import Final, Literal

from attrs import frozen

Test = Literal["equals", "prefix", "suffix", "contains"]

_LITERALS: Final = 4096  # that groups of a pattern may multiply to
_TRIED: Final = {
    "equals": _LITERALS,
    "prefix": 32,
    "suffix": 32,
    "contains": 1,
}  # one by one; above, RE2 is faster
_RETRIED: Final = 32  # characters that are tried again at each place of the last repetition
_REPEATS: Final = 1000  # as RE2 has it
_ESCAPED: Final = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^`{|}~")
_META: Final = frozenset("\\^$.|?*+()[]{}")
_PERL: Final = {  # ASCII only in RE2; written out for Python, where they would be all of Unicode's
    "\\d": frozenset(string.digits),
    "\\w": frozenset(string.ascii_letters + string.digits + "_"),
    "\\s": frozenset("\t\n\f\r "),
}
_COUNT: Final = re.compile(r"\{([0-9]{1,4})(?:(,)([0-9]{1,4})?)?\}")


class _Unclear(Exception):
    """The pattern has something that this file leaves to RE2."""


@frozen
class _Characters:
    """A set of characters: those listed, or all others."""

    listed: frozenset[str]
    others: bool = False

    def meets(self, other: _Characters) -> bool:
        if self.others and other.others:
            return True
        if self.others or other.others:
            rest, some = (self, other) if self.others else (other, self)
            return not some.listed <= rest.listed
        return not self.listed.isdisjoint(other.listed)

    def _ranges(self) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        for code in sorted(map(ord, self.listed)):
            if found and found[-1][1] == code - 1:
                found[-1] = (found[-1][0], code)
            else:
                found.append((code, code))
        return found

    def written(self) -> str:
        if len(self.listed) == 1 and not self.others:
            return re.escape(next(iter(self.listed)))
        # by their numbers: Python warns of signs in classes that mean nothing to RE2
        inside = "".join(f"\\x{low:02x}-\\x{high:02x}" for low, high in self._ranges())
        return f"[{'^' if self.others else ''}{inside}]"


@frozen
class _Repeated:
    """A set of characters, at least and at most so often (None: without end)."""

    of: _Characters
    least: int = 1
    most: int | None = 1

    @property
    def first(self) -> _Characters:
        return self.of

    @property
    def varies(self) -> bool:
        return self.least != self.most

    @property
    def length(self) -> int:
        return self.least

    def written(self) -> str:
        if (self.least, self.most) == (1, 1):
            return self.of.written()
        return f"{self.of.written()}{{{self.least},{'' if self.most is None else self.most}}}"


@frozen
class _OneOf:
    """A group of literals."""

    literals: tuple[str, ...]

    least: int = 1
    varies: bool = False

    @property
    def first(self) -> _Characters:
        return _Characters(frozenset(literal[0] for literal in self.literals if literal))

    @property
    def length(self) -> int:
        return max(map(len, self.literals))

    def written(self) -> str:
        return f"(?:{'|'.join(map(re.escape, self.literals))})"

    @property
    def certain(self) -> bool:
        """Does at most one literal fit at a place?"""
        ordered = sorted(self.literals)
        return all(self.literals) and not any(b.startswith(a) for a, b in pairwise(ordered))


_Step = _Repeated | _OneOf
_ANY: Final = _Characters(frozenset("\n"), others=True)


@frozen
class Shape:
    """A pattern as this file understands it: is it bound to the start, to the end, and what lies between."""

    start: bool
    end: bool
    steps: tuple[_Step, ...]

    def literals(self) -> tuple[str, ...] | None:
        """The texts that the steps stand for, if they are literals."""
        parts: list[tuple[str, ...]] = []
        number = 1
        for step in self.steps:
            if isinstance(step, _OneOf):
                parts.append(step.literals)
            elif len(step.of.listed) == 1 and not step.of.others and not step.varies:
                parts.append((next(iter(step.of.listed)) * step.least,))
            else:
                return None
            number *= len(parts[-1])
            if number > _LITERALS:
                return None
        return tuple(dict.fromkeys(map("".join, product(*parts))))

    def test(self) -> tuple[Test, tuple[str, ...]] | None:
        """The test of strings that the pattern is."""
        literals = self.literals()
        if literals is None:
            return None
        kind: Test
        kind = ("equals" if self.end else "prefix") if self.start else "suffix" if self.end else "contains"
        if "" in literals and kind != "equals":
            return kind, ("",)
        return (kind, literals) if len(literals) <= _TRIED[kind] else None

    def linear(self) -> str | None:
        """A pattern for `re` that matches from the start and means the same, in linear time."""
        if not self.start:
            return None
        for at, step in enumerate(self.steps):
            rest = self.steps[at + 1 :]
            if isinstance(step, _OneOf) and not step.certain:
                return None
            if not step.varies or not self._gives_back(step, rest):
                continue
            if any(after.varies for after in rest) or sum(after.length for after in rest) > _RETRIED:
                return None
        return "".join(step.written() for step in self.steps)

    def _gives_back(self, step: _Step, rest: tuple[_Step, ...]) -> bool:
        for after in rest:
            if step.first.meets(after.first):
                return True
            if after.least:
                return False
        return False


@frozen
class Either:
    """Alternatives that are bound alike, each of them a shape."""

    branches: tuple[Shape, ...]

    @property
    def end(self) -> bool:
        return self.branches[0].end

    def test(self) -> None:
        """It is no one test of strings."""

    def linear(self) -> str | None:
        """A pattern for `re` that matches from the start and means the same; it takes the time of all of them."""
        each = [branch.linear() for branch in self.branches]
        return "|".join(f"(?:{one})" for one in each if one is not None) if None not in each else None


def shape(pattern: str) -> Shape | Either | None:
    """What a pattern is, if it is one of these.

    Args:
        pattern: as written in a rule.

    Returns:
        None for whatever RE2 should judge, errors of syntax included.
    """
    if not pattern.isascii() and any("\ud800" <= sign <= "\udfff" for sign in pattern):
        return None
    try:
        branches = [_Reader(branch).read() for branch in _distributed(pattern)]
    except _Unclear:
        return None
    if len(branches) == 1:
        return branches[0]
    bounds = {(branch.start, branch.end) for branch in branches}
    texts = [branch.literals() for branch in branches]
    if len(bounds) != 1:
        return None
    if any(text is None for text in texts):
        return Either(tuple(branches))
    start, end = bounds.pop()
    return Shape(start, end, (_OneOf(tuple(literal for text in texts for literal in text or ())),))


def _distributed(pattern: str) -> list[str]:
    """The alternatives of the whole pattern, with the bounds around a group given to each: `^(a|b.*)$`."""
    for opening in ("^(?:", "^("):
        inside = pattern[len(opening) : -2]
        if pattern.startswith(opening) and pattern.endswith(")$") and not pattern.endswith("\\)$"):
            alternatives = _branches(inside)
            if len(alternatives) > 1 and _is_one_group(inside):
                return [f"^{alternative}$" for alternative in alternatives]
    return _branches(pattern)


def _is_one_group(inside: str) -> bool:
    """Whether the parentheses within a group close before it does."""
    depth = 0
    for sign in re.sub(r"\\.|\[\^?\]?[^\]]*\]", "", inside, flags=re.DOTALL):
        depth += (sign == "(") - (sign == ")")
        if depth < 0:
            return False
    return depth == 0


def _branches(pattern: str) -> list[str]:
    """The alternatives of the whole pattern: what `|` divides outside groups, classes and escapes."""
    found, begin, depth, inside, at = [], 0, 0, False, 0
    while at < len(pattern):
        sign = pattern[at]
        if sign == "\\":
            at += 1
        elif inside:
            inside = sign != "]"
        elif sign == "[":
            inside = True
        elif sign in "()":
            depth += 1 if sign == "(" else -1
        elif sign == "|" and not depth:
            found.append(pattern[begin:at])
            begin = at + 1
        at += 1
    return [*found, pattern[begin:]]


class _Reader:
    """Reads one alternative of a pattern."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def read(self) -> Shape:
        start = self._took("^")
        end = False
        steps: list[_Step] = []
        while self._at < len(self._text):
            if self._text[self._at :] == "$":
                end = True
                break
            steps.append(self._step())
        if not end:  # what may be absent and is bound to nothing adds nothing
            steps = _without_free_end(steps)
        if not start:
            steps = _without_free_end(steps[::-1])[::-1]
        return Shape(start, end, tuple(steps))

    def _took(self, sign: str) -> bool:
        found = self._text.startswith(sign, self._at)
        self._at += len(sign) if found else 0
        return found

    def _step(self) -> _Step:
        if self._took("("):
            return self._group()
        if self._took("["):
            characters = self._class()
        elif self._took("."):
            characters = _ANY
        elif listed := self._perl():
            characters = _Characters(listed)
        else:
            characters = _Characters(frozenset(self._literal()))
        least, most = self._count()
        return _Repeated(characters, least, most)

    def _perl(self) -> frozenset[str] | None:
        found = _PERL.get(self._text[self._at : self._at + 2])
        self._at += 2 if found else 0
        return found

    def _literal(self) -> str:
        if self._took("\\"):
            return self._sign(_ESCAPED)
        sign = self._text[self._at]
        if sign in _META:
            raise _Unclear
        self._at += 1
        return sign

    def _sign(self, allowed: frozenset[str]) -> str:
        sign = self._text[self._at : self._at + 1]
        if sign not in allowed:
            raise _Unclear
        self._at += 1
        return sign

    def _group(self) -> _OneOf:
        if self._text.startswith("?", self._at) and not self._took("?:"):
            raise _Unclear
        literals = [""]
        while not self._took(")"):
            if self._at >= len(self._text):
                raise _Unclear
            if self._took("|"):
                literals.append("")
            else:
                literals[-1] += self._literal()
        if self._count() != (1, 1):
            raise _Unclear
        return _OneOf(tuple(literals))

    def _class(self) -> _Characters:
        others = self._took("^")
        listed: set[str] = set()
        while not self._took("]"):
            if perl := self._perl():
                listed |= perl
                if self._text.startswith("-", self._at) and not self._text.startswith("-]", self._at):
                    raise _Unclear
                continue
            low = self._member(first=not listed)
            if self._text.startswith("-", self._at) and not self._text.startswith("-]", self._at):
                self._at += 1
                high = self._member(first=False)
                if high < low or "-" in (low, high):
                    raise _Unclear
                listed.update(map(chr, range(ord(low), ord(high) + 1)))
            else:
                listed.add(low)
        if not listed:
            raise _Unclear
        return _Characters(frozenset(listed), others)

    def _member(self, *, first: bool) -> str:
        if self._took("\\"):
            return self._sign(_ESCAPED)
        sign = self._text[self._at : self._at + 1]
        plain = sign.isascii() and sign.isprintable() and sign not in "[]^"
        if not sign or not plain or (sign == "-" and not first and not self._text.startswith("-]", self._at)):
            raise _Unclear
        self._at += 1
        return sign

    def _count(self) -> tuple[int, int | None]:
        sign = self._text[self._at : self._at + 1]
        found: tuple[int, int | None]
        if sign and sign in "*+?":
            self._at += 1
            found = {"*": (0, None), "+": (1, None), "?": (0, 1)}[sign]
        elif counted := _COUNT.match(self._text, self._at):
            self._at = counted.end()
            least = int(counted[1])
            found = (least, least if not counted[2] else int(counted[3]) if counted[3] else None)
        else:
            return 1, 1
        if self._text[self._at : self._at + 1] in ("*", "+", "?", "{"):
            raise _Unclear  # a lazy or a doubled repetition
        least, most = found
        if max(least, most or 0) > _REPEATS or (most is not None and most < least):
            raise _Unclear
        return found


def _without_free_end(steps: list[_Step]) -> list[_Step]:
    while steps and steps[-1].least == 0:
        steps = steps[:-1]
    return steps
