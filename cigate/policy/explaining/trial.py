"""A change of facts that is tried, and what each rule answers to it: once for all trials that are one to the rule."""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter

from attrs import define, evolve, field, frozen

from cigate.facts import Facts, Value
from cigate.policy.combining import Verdict
from cigate.policy.exact import verdict
from cigate.policy.explaining.parts import Part
from cigate.policy.loading.compiled import CompiledRule


@frozen(cache_hash=True)
class Trial:
    """A change that is tried: a value and its type for each changed fact, and the people who are added.

    The types are there because 1 and true are one value to Python. Of a person it is known for which rules they
    are asked.
    """

    chosen: frozenset[tuple[str, type, Value]] = frozenset()
    people: tuple[frozenset[str], ...] = ()

    @property
    def values(self) -> dict[str, Value]:
        return {path: value for path, _, value in sorted(self.chosen, key=itemgetter(0))}

    @property
    def paths(self) -> frozenset[str]:
        return frozenset(path for path, _, _ in self.chosen)

    def setting(self, path: str, value: Value) -> Trial:
        others = {each for each in self.chosen if each[0] != path}
        return evolve(self, chosen=frozenset({*others, (path, type(value), value)}))

    @property
    def places(self) -> tuple[frozenset[str], int]:
        """What is changed, whatever it is changed to."""
        return self.paths, len(self.people)


@define
class Asked:
    """One applicable rule, with what its answer depends on and what it answered so far."""

    rule: CompiledRule
    part: Part | None
    paths: frozenset[str]
    reads_approvals: bool
    answers: dict[object, Verdict] = field(factory=dict)

    def answer(self, trial: Trial, facts: Callable[[], Facts]) -> Verdict:
        mine = frozenset(each for each in trial.chosen if each[0] in self.paths)
        key = (mine, trial.people if self.reads_approvals else ())
        if key not in self.answers:
            self.answers[key] = verdict(self.rule, facts())
        return self.answers[key]
