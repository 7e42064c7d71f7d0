"""The smallest change of facts that would have given an allow.

Theory of operation. Changes are tried by size. A change that does not give an allow yet has somebody to blame:
a rule that forbids, a rule in error, the allow rules that are all false, people who are missing. A rule's answer
depends on nothing but the facts that it reads, so whatever larger change gives an allow must change one of
those as well; and of a false `&&` one false part is enough to blame, of a true `||` one true part. So each change
is made larger only by the facts of one who is to blame, the one with the fewest. No smallest change is
missed that way, however many facts there are. Each value comes from `domains`; each change that is given was
decided by the policy itself, and so was every smaller one on the way, or it was shown not to matter.

A change sets facts to other values, makes unknown facts known and adds approvals; it never makes a known fact
unknown. It is computed when somebody asks, in a bounded number of steps.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import product
from math import prod
from typing import Any, Final

from attrs import evolve, frozen

from cigate.cel.syntax import AND, NOT
from cigate.decision import Decision, Effect
from cigate.facts import Facts, FactType, Value
from cigate.policy.absence import Outcome
from cigate.policy.combining import Verdict, combine, missing_people
from cigate.policy.engine import PolicyEngine
from cigate.policy.exact import obstacle
from cigate.policy.explaining.change import Change, FactChange, People, described, middle
from cigate.policy.explaining.domains import Domain, domains, is_fixed
from cigate.policy.explaining.parts import Atom, Part, apart, touches
from cigate.policy.explaining.trial import Asked, Trial
from cigate.policy.loading.compiled import CompiledRule

FIXED: Final = ("action", "now", "commit", "agent.id", "user.id", "device.id", "attestation.*")
"""What nobody can change after the fact: what was asked, when, and who was there."""

MOST_TRIED: Final = 2000
_MOST_CHANGES: Final = 20
_MOST_TOGETHER: Final = 64
_KEPT: Final = 512
_PEOPLE: Final = "approvals"


@frozen
class Counterfactual:
    """What would have given an allow.

    Args:
        changes: every smallest change: one for each set of facts; empty if the answer was allow already, or if
            none was found.
        why: why there is none, in words; else empty.
        tried: how many changes were tried.
    """

    changes: tuple[Change, ...] = ()
    why: str = ""
    tried: int = 0

    def to_json(self) -> dict[str, Any]:
        return {
            "changes": [change.to_json() for change in self.changes],
            **({"why": self.why} if self.why else {}),
        }


def counterfactual(
    policy: PolicyEngine,
    facts: Facts | Mapping[str, Any],
    *,
    fixed: Collection[str] = FIXED,
    most: int = MOST_TRIED,
) -> Counterfactual:
    """The smallest changes of facts for which the policy decides allow, whatever is to be taken first.

    Args:
        policy: what decides.
        facts: what it decided on.
        fixed: paths that may not change; `attestation.*` is all below it.
        most: how many changes may be tried; fewer where the policy or the facts are very large.
    """
    known = policy.conforming(facts)
    if isinstance(known, Decision):
        return Counterfactual(why=f"the facts do not fit the schema: {known.reasons[0].message}")
    decision = policy.exactly(known)
    if decision.effect is Effect.ALLOW:
        return Counterfactual()
    blocked = obstacle(policy, known)
    if blocked is not None or decision.code == "policy.error":
        return Counterfactual(why=(blocked or decision.reasons[0]).message)
    rules = policy.applicable(known.get("action") or "")
    if not any(one.rule.effect is Effect.ALLOW for one in rules):
        return Counterfactual(why=f"no rule allows {known.get('action')}")
    return _Search(policy, known, rules, tuple(fixed), most).run()


class _Exhausted(Exception):
    """As many changes were tried as may be."""


_WORK: Final = 2000
_LEAST_TRIED: Final = 20


def _leaves(value: Any) -> int:
    """How many scalars there are in a document."""
    if isinstance(value, Mapping):
        return sum(map(_leaves, value.values()))
    return sum(map(_leaves, value)) if isinstance(value, tuple | list) else 1


class _Search:
    def __init__(
        self,
        policy: PolicyEngine,
        facts: Facts,
        rules: tuple[CompiledRule, ...],
        fixed: tuple[str, ...],
        most: int,
    ) -> None:
        self._policy, self._facts = policy, facts
        # A try costs as much as the policy and the facts are large: what is asked of huge ones must not take minutes.
        work = max(_WORK, 20 * len(rules) + _leaves(facts.document))
        self._most = max(min(most, _LEAST_TRIED), most * _WORK // work)
        self._domains = {one.path: one for one in domains(rules, policy.schema, facts, fixed)}
        self._may_add = not is_fixed(_PEOPLE, fixed) and _PEOPLE in policy.schema.fields
        self._asked = [self._ask(rule) for rule in rules]
        self._order = {path: _nearest_first(one, facts.get(path)) for path, one in self._domains.items()}
        self._answered: dict[Trial, tuple[Verdict, ...]] = {}
        self._made: dict[Trial, Facts] = {}
        self._blamed: dict[Trial, frozenset[str] | None] = {}
        clauses = [rule.rule.approval for rule in rules if rule.rule.approval is not None]
        self._most_people = 3 + sum(clause.count for clause in clauses)
        # Where an expression looks at approvals, one role is not as good as another.
        self._any_role = not any(
            rule.program is not None and _PEOPLE in rule.program.references for rule in rules
        )
        self.tried = 0

    def run(self) -> Counterfactual:
        level: dict[Trial, None] = {Trial(): None}
        try:
            while level:
                found, level = self._larger(level)
                if found:
                    changes = tuple(self._change(trial) for trial in found[:_MOST_CHANGES])
                    return Counterfactual(changes, tried=self.tried)
        except _Exhausted:
            return Counterfactual(
                why=f"none was found in {self._most} tries, not searched further", tried=self.tried
            )
        return Counterfactual(why=self._hopeless(), tried=self.tried)

    def _larger(self, level: Mapping[Trial, None]) -> tuple[list[Trial], dict[Trial, None]]:
        """Those of the next size that give an allow, one for each set of facts; and all that do not."""
        found: dict[object, Trial] = {}
        rest: dict[Trial, None] = {}
        for trial in level:
            for larger in self._steps(trial):
                if larger.places in found or larger in rest:
                    continue
                if self._blame(larger) is None and self._allows(larger):
                    found[larger.places] = larger
                else:
                    rest[larger] = None
        return sorted(found.values(), key=lambda one: (sorted(one.paths), len(one.people))), rest

    def _steps(self, trial: Trial) -> Iterator[Trial]:
        blamed = self._blame(trial) or frozenset()
        for path in sorted(blamed - trial.paths - {_PEOPLE}):
            if self._domains[path].after not in {"", *trial.paths}:
                continue
            for at in self._order[path]:
                yield trial.setting(path, self._domains[path].values[at])
        if _PEOPLE in blamed and len(trial.people) < self._most_people:
            yield evolve(trial, people=(*trial.people, self._unmet(trial)))

    def _allows(self, trial: Trial) -> bool:
        return self._policy.decide(self._with(trial)).effect is Effect.ALLOW

    def _verdicts(self, trial: Trial) -> tuple[Verdict, ...]:
        if trial not in self._answered:
            self._answered[trial] = tuple(
                asked.answer(trial, lambda: self._with(trial)) for asked in self._asked
            )
        return self._answered[trial]

    def _blame(self, trial: Trial) -> frozenset[str] | None:
        """Facts of which a larger change that gives an allow must change one; None: this one gives it."""
        if trial not in self._blamed:
            self.tried += 1
            if self.tried > self._most:
                raise _Exhausted
            self._blamed[trial] = self._to_blame(trial)
        return self._blamed[trial]

    def _to_blame(self, trial: Trial) -> frozenset[str] | None:
        found = self._verdicts(trial)
        facts = self._with(trial)
        culprits = [
            self._lever(asked, verdict, facts)
            for asked, verdict in zip(self._asked, found, strict=True)
            if verdict.outcome is Outcome.ERROR or (verdict.outcome is Outcome.TRUE and verdict.shuts)
        ]
        allows = [
            (asked, verdict)
            for asked, verdict in zip(self._asked, found, strict=True)
            if verdict.rule.effect is Effect.ALLOW
        ]
        if all(verdict.outcome is Outcome.FALSE for _, verdict in allows):
            culprits.append(
                frozenset().union(
                    *(self._lever(asked, verdict, facts, wanted=True) for asked, verdict in allows)
                )
            )
        if culprits:
            return min(culprits, key=lambda paths: (self._choices(paths - trial.paths), sorted(paths)))
        unmet = [
            (asked, verdict)
            for asked, verdict in zip(self._asked, found, strict=True)
            if verdict.outcome is Outcome.TRUE and missing_people(verdict) > 0
        ]
        if not unmet:
            return None
        # People come last: whom to ask is known only when all other facts are.
        levers = frozenset().union(*(self._lever(asked, verdict, facts) for asked, verdict in unmet))
        counted = facts.now is not None and facts.get("user.id") is not None
        who = {_PEOPLE} if counted and self._may_add else set()
        return levers | who | (self._domains.keys() & {"user.id", "now"})

    def _choices(self, paths: Collection[str]) -> int:
        return sum(len(self._domains[path].values) if path in self._domains else 1 for path in paths)

    def _lever(self, asked: Asked, verdict: Verdict, facts: Facts, *, wanted: bool = False) -> frozenset[str]:
        """What could turn a rule: into true if that is wanted, else into false."""
        everything = asked.paths | ({_PEOPLE} if asked.reads_approvals and self._may_add else set())
        # A presence test, or the unknown that is ignored, makes more of the facts than the parts show.
        plain = asked.rule.tests is None and not asked.rule.rule.ignores_unknown
        if asked.part is None or not plain or verdict.outcome is Outcome.ERROR:
            return everything
        return self._turning(asked.part, wanted, facts) & everything

    def _turning(self, part: Part, wanted: bool, facts: Facts) -> frozenset[str]:
        """What an expression that is not `wanted` now could be turned by; each part that must turn is enough."""
        if isinstance(part, Atom):
            return self._moving(part.program.references)
        if part.function == NOT:
            return self._turning(part.parts[0], not wanted, facts)
        goal = Outcome.TRUE if wanted else Outcome.FALSE
        wrong = [below for below in part.parts if below.worth(facts) is not goal]
        levers = [self._turning(below, wanted, facts) for below in wrong]
        if (part.function == AND) is wanted:  # all of them must turn
            return min(levers, key=lambda paths: (self._choices(paths), sorted(paths)), default=frozenset())
        return frozenset().union(*levers)

    def _moving(self, references: Collection[str]) -> frozenset[str]:
        paths = {path for path in self._domains if any(touches(name, path) for name in references)}
        return frozenset(paths | ({_PEOPLE} if _PEOPLE in references and self._may_add else set()))

    def _ask(self, rule: CompiledRule) -> Asked:
        reads: set[str] = set() if rule.program is None else set(rule.program.references)
        if rule.rule.throttle is not None:
            reads.update(rule.rule.throttle.key)
        reads_approvals = _PEOPLE in reads or rule.rule.approval is not None
        paths = {path for path in self._domains if any(touches(name, path) for name in reads)}
        if rule.rule.approval is not None:
            paths |= self._domains.keys() & {"user.id", "now"}
        return Asked(rule, _taken_apart(rule), frozenset(paths), reads_approvals)

    # --- what is tried, as facts and as a change

    def _with(self, trial: Trial) -> Facts:
        if trial not in self._made:
            self._made[trial] = self._changed(trial)
        return self._made[trial]

    def _changed(self, trial: Trial) -> Facts:
        facts = self._facts
        for path, value in trial.values.items():
            facts = facts.including(path, value)
        people = trial.people
        if not people:
            return facts
        given = facts.get(_PEOPLE) or ()
        taken = {facts.get("user.id"), *(approval["user"] for approval in given)}
        names = (
            name for at in range(1, len(people) + len(taken) + 1) if (name := f"approver-{at}") not in taken
        )
        added = tuple(
            {
                "user": name,
                "roles": tuple(dict.fromkeys(group[0] for group in self._groups_of(rules))),
                **({} if facts.now is None else {"at": facts.now}),
            }
            for name, rules in zip(names, people, strict=False)
        )
        return facts.including(_PEOPLE, (*given, *added))

    def _unmet(self, trial: Trial) -> frozenset[str]:
        """The rules that want more people; a person who is added counts for all of them."""
        found = self._verdicts(trial)
        return frozenset(
            verdict.rule.name
            for verdict in found
            if verdict.outcome is Outcome.TRUE and missing_people(verdict) > 0
        )

    def _groups_of(self, names: Collection[str]) -> tuple[tuple[str, ...], ...]:
        """The roles that each of some rules lists."""
        clauses = [one.rule.rule.approval for one in self._asked if one.rule.rule.name in names]
        groups = dict.fromkeys(clause.roles for clause in clauses if clause is not None and clause.roles)
        return tuple(groups if self._any_role else (group[:1] for group in groups))

    def _change(self, trial: Trial) -> Change:
        for path in sorted(trial.paths):
            trial = self._relaxed(path, trial)
        serving = {path: self._serving(path, trial) for path in trial.values}
        if not self._independent(serving, trial):
            serving = {path: (value,) for path, value in trial.values.items()}
        changed = self._with(trial)
        written = changed.to_json(self._policy.schema)
        facts = tuple(
            FactChange(
                path,
                value,
                _at(written, path),
                described(self._widened(path, value), self._facts.get(path), value, serving[path]),
            )
            for path, value in trial.values.items()
        )
        people = tuple(
            People(trial.people.count(rules), self._groups_of(rules), self._named(rules))
            for rules in dict.fromkeys(trial.people)
        )
        return Change(facts, people, changed)

    def _serves(self, trial: Trial) -> bool:
        return combine(self._verdicts(trial), self._with(trial)).effect is Effect.ALLOW

    def _relaxed(self, path: str, trial: Trial) -> Trial:
        """The value of an ordered fact moved as near to what it is now as still serves."""
        far, value = self._facts.get(path), trial.values[path]
        if not self._domains[path].ordered or far is None:
            return trial
        while (between := middle(min(value, far), max(value, far))) is not None:
            if self._serves(trial.setting(path, between)):
                value = between
            else:
                far = between
        return trial.setting(path, value)

    def _serving(self, path: str, trial: Trial) -> tuple[Value, ...]:
        """The candidates for one fact that serve too, the others as they are."""
        domain = self._widened(path, trial.values[path])
        return tuple(value for value in domain.values if self._serves(trial.setting(path, value)))

    def _widened(self, path: str, value: Value) -> Domain:
        """The domain, with a value that was found between its candidates."""
        domain = self._domains[path]
        if not domain.ordered or value in domain.values:
            return domain
        return evolve(domain, values=tuple(sorted((*domain.values, value))))

    def _independent(self, serving: Mapping[str, tuple[Value, ...]], trial: Trial) -> bool:
        """Whether every choice among the values that serve alone serves together with every other one."""
        if len(serving) < 2:
            return True
        if prod(len(values) for values in serving.values()) > _MOST_TOGETHER:
            return False
        for values in product(*serving.values()):
            other = trial
            for path, value in zip(serving, values, strict=True):
                other = other.setting(path, value)
            if not self._serves(other):
                return False
        return True

    def _named(self, rules: Collection[str]) -> tuple[str, ...]:
        return tuple(one.rule.rule.name for one in self._asked if one.rule.rule.name in rules)

    def _hopeless(self) -> str:
        """Why nothing helps: what is to blame for the facts as they are, and can't be changed."""
        found = self._verdicts(Trial())
        shutting = [
            verdict.rule.name
            for verdict in found
            if verdict.outcome is Outcome.ERROR or (verdict.outcome is Outcome.TRUE and verdict.shuts)
        ]
        asking = [
            verdict.rule.name
            for verdict in found
            if verdict.outcome is Outcome.TRUE and missing_people(verdict) > 0
        ]
        allows = [verdict for verdict in found if verdict.rule.effect is Effect.ALLOW]
        opened = any(verdict.outcome is Outcome.TRUE for verdict in allows)
        names = shutting or (asking if opened else [verdict.rule.name for verdict in allows])
        said = f"the rule{'s' if len(names) > 1 else ''} {', '.join(names[:4])}"
        unknown = [path for path in ("now", "user.id") if asking and self._facts.get(path) is None]
        more = (
            f"; an approval counts only where {' and '.join(unknown)} {_are(unknown)} known"
            if unknown
            else ""
        )
        return f"no change of facts within reach gives an allow: see {said}{more}"


def _are(things: Sequence[str]) -> str:
    return "are" if len(things) > 1 else "is"


def _at(document: Any, path: str) -> Any:
    for step in path.split("."):
        document = document[step]
    return document


@lru_cache(maxsize=_KEPT)
def _taken_apart(rule: CompiledRule) -> Part | None:
    return None if rule.program is None else apart(rule.program.node, rule.declarations)


def _nearest_first(domain: Domain, now: Value | None) -> tuple[int, ...]:
    """The numbers of the candidates that change something, the one most like the present value first."""
    values = [
        (at, value) for at, value in enumerate(domain.values) if type(value) is not type(now) or value != now
    ]
    start = 0 if now is None and domain.kinds == (FactType.INT,) else now
    if domain.ordered and start is not None:
        values.sort(key=lambda each: (abs(each[1] - start), each[0]))
    return tuple(at for at, _ in values)
