"""Which rules can be true of some facts at all, and how they are asked: an index over what rules say must be equal.

Most rules say that a fact equals something before they say anything else: `actions: [x]`, `action == "x"`,
`parameters.target in ["a", "b"]`. Where the fact is something else the rule is false, whatever its other parts are
worth or fail with, for CEL's `&&` is false beside anything. So rules are kept by those values, the action first,
and a decision asks only the rules that are left; their code is made when they are first asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import define, field, frozen

from cigate.cel.syntax import Node
from cigate.decision import Decision, Explanation
from cigate.facts import FactType, Schema
from cigate.policy.loading.compiled import CompiledRule
from cigate.policy.loading.pinned import pins
from cigate.policy.rulings import Finish, Read, finisher, reader
from cigate.policy.straight.reads import FactTypes, NotStraight
from cigate.policy.straight.rules import PER_MASK, Exactly, Question, which_are_true
from cigate.policy.straight.writing import Space

_WORTH_SPLITTING: Final = 8
"""So many rules must differ by a fact's value before looking that up pays."""

_MOST_KEPT: Final = 4096


@frozen(eq=False, repr=False)
class Asking:
    """What is the same for all rules of a policy: how to ask one exactly, and what decisions bring along."""

    schema: Schema
    digest: str
    exactly: Callable[[CompiledRule], Exactly]
    explainer: Callable[[Any], Explanation]
    anew: Callable[[Sequence[CompiledRule], Any], Decision]
    space: Space


@define(eq=False, repr=False)
class Candidates:
    """The rules that can be true of facts with some known values.

    Args:
        asking: the policy's own.
        rules: in the order of the document.
        known: the facts that are known, the action among them unless it is none that the policy names.
        whole: whether all parameters are to be checked; else only those that are read.
    """

    asking: Asking
    rules: tuple[CompiledRule, ...]
    known: Mapping[str, str]
    whole: bool = True
    which: Callable[[Any], Any] = field(init=False)
    _made: Callable[[Any], Any] | None = field(init=False, default=None)
    finishes: dict[Any, Finish] = field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        self.which = self._first

    def _first(self, document: Any) -> Any:
        """Which rules are true of a document whose facts have been checked; raises if it is odd."""
        self.which = self.asked()
        return self.which(document)

    def asked(self) -> Callable[[Any], Any]:
        """The code that asks the rules. Two threads may make it at once: what its answers mean is the same."""
        if self._made is None:
            self._made = self._compiled()
        return self._made

    def _nodes(self) -> Mapping[int, Node | None]:
        return {rule.at: rule.node for rule in self.rules}

    def _compiled(self) -> Callable[[Any], Any]:
        nodes = self._nodes()
        path = self._split(nodes)
        if path is None:
            return self._straight(self.rules, nodes)
        pinned = {rule.at: pins(nodes[rule.at]).get(path) for rule in self.rules}
        rest = tuple(rule for rule in self.rules if pinned[rule.at] is None)
        table: dict[str, list[CompiledRule]] = {}
        for rule in self.rules:
            for value in pinned[rule.at] or ():
                table.setdefault(value, []).append(rule)
        below = {
            value: Candidates(self.asking, tuple(rules), {**self.known, path: value}, whole=False)
            for value, rules in table.items()
        }
        return _Branching(reader(path), self._straight(rest, nodes), rest, below)

    def _straight(
        self, rules: Sequence[CompiledRule], nodes: Mapping[int, Node | None]
    ) -> Callable[[Any], Any]:
        questions = [Question(nodes[rule.at], rule.strict, self.asking.exactly(rule)) for rule in rules]
        return which_are_true(questions, self._types(), self.known, self.asking.space, whole=self.whole)

    def _types(self) -> FactTypes:
        return FactTypes.about(self.asking.schema, self.known.get("action"))

    def _split(self, nodes: Mapping[int, Node | None]) -> str | None:
        """The fact that most rules are pinned to, if that is worth a look-up."""
        types = self._types()
        counts: dict[str, int] = {}
        for node in nodes.values():
            for path in pins(node):
                if path not in self.known and _is_text(types, path):
                    counts[path] = counts.get(path, 0) + 1
        best = max(counts, key=lambda path: (counts[path], path), default=None)
        return best if best is not None and counts[best] >= _WORTH_SPLITTING else None

    def finish(self, found: Any) -> Finish:
        """What makes the decision when these rules were found true; kept, for they will be true again."""
        true = sorted(self.true(found), key=lambda rule: rule.at)

        def anew(document: Any, facts: Any) -> Decision:
            return self.asking.anew(true, facts)

        asking = self.asking
        made = finisher(true, self.known.get("action"), asking.schema, asking.digest, asking.explainer, anew)
        if len(self.finishes) >= _MOST_KEPT:
            self.finishes.clear()
        self.finishes[found] = made
        return made

    def true(self, found: Any) -> Iterator[CompiledRule]:
        """The rules that an answer of `which` says are true."""
        which = self.asked()
        if isinstance(which, _Branching):
            value, general, more = found
            yield from _chosen(which.rest, general)
            if value is not None:
                yield from which.below[value].true(more)
        else:
            yield from _chosen(self.rules, found)


@frozen(eq=False, repr=False)
class _Branching:
    """Asks the rules that are not pinned, and those that are pinned to the value which the fact has."""

    read: Read
    general: Callable[[Any], Any]
    rest: tuple[CompiledRule, ...]
    below: Mapping[str, Candidates]

    def __call__(self, document: Any) -> Any:
        general = self.general(document)
        value = self.read(document)
        below = self.below.get(value)
        return (None, general, None) if below is None else (value, general, below.which(document))


def _is_text(types: FactTypes, path: str) -> bool:
    try:
        return types.kind(path) is FactType.STRING
    except NotStraight:
        return False


def _chosen(rules: Sequence[CompiledRule], found: Any) -> Iterator[CompiledRule]:
    for mask, bits in enumerate(found if isinstance(found, tuple) else (found,)):
        for bit in range(PER_MASK):
            if bits >> bit & 1:
                yield rules[mask * PER_MASK + bit]
