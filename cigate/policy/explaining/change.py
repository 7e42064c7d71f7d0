"""A change of facts, as a value and in words: other values for some facts, and approvals by more people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from attrs import frozen

from cigate.facts import Facts, Value
from cigate.policy.explaining.domains import Domain
from cigate.policy.explaining.showing import shown

_MOST_NAMED: Final = 4
_NUMBERS: Final = ("no", "one", "two", "three", "four", "five")


@frozen
class FactChange:
    """One fact with another value.

    Args:
        path: the fact.
        value: a value that serves.
        written: the same as JSON.
        words: all that would serve, as far as it can be said shortly: `cost.estimate at most 5000`.
    """

    path: str
    value: Value
    written: Any
    words: str


@frozen
class People:
    """Approvals by `count` more people, each with one role of every group (none: any approver).

    Args:
        count: how many people.
        roles: for each rule that they count for and that lists roles, its roles.
        rules: the names of those rules.
    """

    count: int
    roles: tuple[tuple[str, ...], ...]
    rules: tuple[str, ...]

    @property
    def words(self) -> str:
        """`one approval by sre for infra-needs-a-person`."""
        number = _NUMBERS[self.count] if self.count < len(_NUMBERS) else str(self.count)
        whom = " and ".join(" or ".join(group) for group in self.roles) or "any approver"
        what = "approval" if self.count == 1 else "approvals"
        return f"{number} {what} by {whom}" + (f" for {', '.join(self.rules)}" if self.rules else "")


@frozen
class Change:
    """A change of facts that would have given an allow.

    Args:
        facts: the facts with another value, by path.
        people: the approvals that are added.
        changed: the facts as they would be.
    """

    facts: tuple[FactChange, ...]
    people: tuple[People, ...]
    changed: Facts

    @property
    def size(self) -> int:
        """How many facts are changed; each person who approves counts as one."""
        return len(self.facts) + sum(some.count for some in self.people)

    @property
    def words(self) -> str:
        """All of it, as one would say it."""
        return " and ".join((*(one.words for one in self.facts), *(some.words for some in self.people)))

    def to_json(self) -> dict[str, Any]:
        return {
            "size": self.size,
            "words": self.words,
            "facts": {one.path: one.written for one in self.facts},
            "approvals": [
                {
                    "count": some.count,
                    "roles": [list(group) for group in some.roles],
                    "rules": list(some.rules),
                }
                for some in self.people
            ],
        }


def described(domain: Domain, before: Value | None, value: Value, serving: Sequence[Value]) -> str:
    """The values that serve, in words.

    Args:
        domain: all candidates.
        before: what the fact is now; None: unknown.
        value: the one that was chosen.
        serving: those candidates, in the domain's order, that serve.
    """
    path, known = domain.path, "" if before is not None else "known and "
    if before is None and len(serving) == len(domain.values) and len(serving) > 1 and domain.whole:
        return f"{path} known"
    if isinstance(value, tuple):
        return _list_words(path, before, value)
    if domain.ordered and domain.whole and len(serving) > 1:
        return f"{path} {known}{_range_words(domain, value, serving)}"
    if isinstance(value, str) and len(domain.kinds) == 1:
        if not domain.whole:
            return f"{path} {known}such as {shown(value)}"
        others = [text for text in domain.values if text not in serving]
        if domain.fresh in serving and not others:
            return f"{path} known"
        if domain.fresh in serving:
            named = ", ".join(shown(text) for text in others[:_MOST_NAMED])
            more = " …" if len(others) > _MOST_NAMED else ""
            return f"{path} {known}none of {named}{more}" if len(others) > 1 else f"{path} {known}not {named}"
        if 1 < len(serving) <= _MOST_NAMED:
            return f"{path} {known}one of {', '.join(shown(text) for text in serving)}"
    return f"{path} = {shown(value)}"


def _range_words(domain: Domain, value: Value, serving: Sequence[Value]) -> str:
    """The unbroken run of candidates around the chosen value, as a range."""
    values = domain.values
    low = high = values.index(value)
    while low > 0 and values[low - 1] in serving:
        low -= 1
    while high < len(values) - 1 and values[high + 1] in serving:
        high += 1
    if low == high:
        return f"= {shown(value)}"
    if low == 0:
        return f"at most {shown(values[high])}"
    if high == len(values) - 1:
        return f"at least {shown(values[low])}"
    return f"from {shown(values[low])} to {shown(values[high])}"


def _list_words(path: str, before: Value | None, value: tuple[str, ...]) -> str:
    if before is None:
        return f"{path} known and = {shown(value)}"
    more = [shown(item) for item in value if item not in before]
    fewer = [shown(item) for item in before if item not in value]
    if not more and not fewer:
        return f"{path} = {shown(value)}"
    parts = [f"with {', '.join(more)}"] if more else []
    parts += [f"without {', '.join(fewer)}"] if fewer else []
    return f"{path} {' and '.join(parts)}"


def middle(low: Value, high: Value) -> Value | None:
    """A value half way between two of an ordered fact; None where there is none between them."""
    if isinstance(low, int):
        between = (low + high) // 2
    else:
        span: timedelta = high - low
        between = low + timedelta(seconds=span // timedelta(seconds=2))
    return between if low < between < high else None
