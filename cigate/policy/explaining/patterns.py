"""A text that a pattern matches, made from the pattern: what a counterfactual offers for `matches`.

Only a guess, and tried before it is believed: whatever the small grammar here does not know (look-around, flags,
named groups, back references) gives no text at all, never a wrong answer.
"""

from __future__ import annotations

from typing import Final

from attrs import define

_CLASSES: Final = {"d": "0", "w": "a", "s": " ", "D": "a", "W": "-", "S": "a"}
_PLAIN: Final = {"n": "\n", "t": "\t", "r": "\r"}
_ANCHORS: Final = "bBAz"
_LONGEST: Final = 256


class _Beyond(Exception):
    """The pattern has something that the grammar here does not."""


def example(pattern: str) -> str | None:
    """A short text that the pattern should match, or None where none can be made."""
    reader = _Reader(pattern)
    try:
        found = reader.alternatives()
    except (_Beyond, RecursionError):
        return None
    return found if reader.at == len(pattern) and len(found) <= _LONGEST else None


@define
class _Reader:
    """Reads a pattern left to right, and writes what it asks for at its least."""

    pattern: str
    at: int = 0

    def alternatives(self) -> str:
        first = self.sequence()
        while self.next_is("|"):
            self.at += 1
            self.sequence()
        return first

    def sequence(self) -> str:
        found = ""
        while self.at < len(self.pattern) and self.pattern[self.at] not in "|)":
            found += self.repeated(self.one())
            if len(found) > _LONGEST:
                raise _Beyond
        return found

    def one(self) -> str:
        sign = self.take()
        match sign:
            case "^" | "$":
                return ""
            case ".":
                return "a"
            case "(":
                return self.group()
            case "[":
                return self.members()
            case "\\":
                return self.escaped()
            case "*" | "+" | "?" | "{":
                raise _Beyond
            case _:
                return sign

    def group(self) -> str:
        if self.next_is("?"):
            if self.pattern[self.at : self.at + 2] != "?:":
                raise _Beyond
            self.at += 2
        found = self.alternatives()
        if self.take() != ")":
            raise _Beyond
        return found

    def members(self) -> str:
        """One member of a class: its first; of a negated one something that stands nowhere in it."""
        negated = self.next_is("^")
        start = self.at = self.at + negated
        first = self.escaped() if self.take() == "\\" else self.pattern[start : start + 1]
        while not self.next_is("]"):
            if self.take() == "\\":
                self.take()
        body = self.pattern[start : self.at]
        self.at += 1
        if "[:" in body:
            raise _Beyond
        if not negated:
            return first
        return next((each for each in "a0-_Z~ " if each not in body), "")

    def escaped(self) -> str:
        sign = self.take()
        if sign in _ANCHORS:
            return ""
        if sign in _CLASSES or sign in _PLAIN:
            return _CLASSES.get(sign) or _PLAIN[sign]
        if sign.isalnum():
            raise _Beyond
        return sign

    def repeated(self, one: str) -> str:
        if self.at >= len(self.pattern):
            return one
        sign = self.pattern[self.at]
        if sign in "*?":
            self.at += 1
            found = ""
        elif sign == "+":
            self.at += 1
            found = one
        elif sign == "{":
            end = self.pattern.find("}", self.at)
            least = self.pattern[self.at + 1 : end].partition(",")[0]
            if end < 0 or not least.isdigit() or len(least) > 3:
                raise _Beyond
            self.at = end + 1
            found = one * int(least)
        else:
            return one
        if self.next_is("?"):
            self.at += 1
        return found

    def next_is(self, sign: str) -> bool:
        return self.pattern.startswith(sign, self.at)

    def take(self) -> str:
        if self.at >= len(self.pattern):
            raise _Beyond
        self.at += 1
        return self.pattern[self.at - 1]
