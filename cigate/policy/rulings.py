"""From the rules that are true to the decision, kept: the same rules give the same ruling for all facts.

What differs from one request to the next is only what must be taken (whose bucket, how much of which budget), who
approved, and a message that an expression writes. The first is filled in here; a decision for which the others
matter is combined anew by the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from operator import itemgetter
from typing import Any, Final

from attrs import field, frozen

from cigate.decision import Decision, Effect, Explanation, Quorum, Ruling, Take, Token, ruled
from cigate.facts import Facts, FactType, Schema
from cigate.policy.absence import Outcome
from cigate.policy.combining import (
    Answer,
    Verdict,
    combine,
    merged_advice,
    merged_obligations,
    people_who_count,
    reservation,
)
from cigate.policy.loading.compiled import CompiledRule
from cigate.ticket import Clause

Read = Callable[[Any], Any]
People = tuple[str, ...]
Finish = Callable[[Any, Any], Decision]
"""From a document, and the facts as they were given, to the decision."""


_MOST_TOKENS: Final = 1024
_OF_PEOPLE: Final = ("approvals", "now", "user.id")
"""What is read to count who approved."""


@frozen(eq=False, repr=False)
class Bucket:
    """The token that a true throttle rule takes, but for the name of its bucket."""

    rule: str
    key: Read
    limit: int
    per: timedelta
    message: str
    _tokens: dict[Any, Token] = field(init=False, factory=dict)

    def token(self, document: Any) -> Token:
        """The token for one document; the same one for all that name the same bucket."""
        bucket = self.key(document)
        return self._tokens.get(bucket) or self._made(bucket)

    def _made(self, bucket: tuple[str, ...]) -> Token:
        if len(self._tokens) >= _MOST_TOKENS:
            self._tokens.clear()
        made = self._tokens[bucket] = Token(self.rule, bucket, self.limit, self.per, self.message)
        return made


def finisher(
    true: Sequence[CompiledRule],
    action: str | None,
    schema: Schema,
    digest: str,
    explainer: Callable[[Any], Explanation],
    anew: Finish,
) -> Finish:
    """What makes the decision, from a document of facts, when these rules are true and no other is.

    It raises where a fact that names a bucket is missing.

    Args:
        true: in the order of the document.
        action: None where it is not known, so that no message can name it.
        schema: what the facts fit.
        digest: the policy's.
        explainer: from facts to why.
        anew: decides the slow way, for what no two requests share.
    """
    if any(one.said is not None for one in true):
        return anew  # its message is written from the facts
    buckets = tuple(_bucket(one) for one in true if one.rule.throttle is not None)

    def with_people(people: tuple[People, ...]) -> Finish:
        counted = dict(zip([one.at for one in true if one.rule.approval is not None], people, strict=True))
        verdicts = [Verdict(one, Outcome.TRUE, people=counted.get(one.at, ())) for one in true]
        answer = combine(verdicts, Facts({"action": action}))
        if action is None and answer.code == "policy.no-allow-rule":
            return anew  # which names the action
        ruling = ruling_of(answer, true, digest, explainer)
        if ruling.effect is not Effect.ALLOW:
            return _refusing(ruling, buckets)
        quorums = tuple(take for take in answer.takes if isinstance(take, Quorum))
        return _allowing(ruling, quorums, buckets) if _names_what_is_reserved(schema) else anew

    clauses = [one.rule.approval for one in true if one.rule.approval is not None]
    nobody = with_people(tuple(() for _ in clauses))
    return _counting(clauses, schema, nobody, with_people) if clauses else nobody


def _names_what_is_reserved(schema: Schema) -> bool:
    """Whether the document says what to reserve; what a schema does not name is no fact, whatever is there."""
    return (
        schema.type_of("cost.estimate") is FactType.INT
        and schema.type_of("cost.currency") is FactType.STRING
        and "budget" in schema.groups()
    )


def _allowing(ruling: Ruling, quorums: tuple[Quorum, ...], buckets: tuple[Bucket, ...]) -> Finish:
    def finish(document: Any, facts: Any) -> Decision:
        takes: tuple[Take, ...] = quorums
        if "budget" in document:
            takes = (*takes, *reservation(document))
        if buckets:
            takes = (*takes, *[bucket.token(document) for bucket in buckets])
        return ruled(ruling, takes, facts)

    return finish


def _refusing(ruling: Ruling, buckets: tuple[Bucket, ...]) -> Finish:
    def finish(document: Any, facts: Any) -> Decision:
        for bucket in buckets:  # a rule whose bucket has no name is in error, and that is another answer
            bucket.key(document)
        return ruled(ruling, (), facts)

    return finish


def _counting(
    clauses: Sequence[Clause],
    schema: Schema,
    nobody: Finish,
    with_people: Callable[[tuple[People, ...]], Finish],
) -> Finish:
    """What counts who approved; kept by that, for the same people count for the next request too."""
    read = Schema({path: schema.fields[path] for path in _OF_PEOPLE if path in schema.fields})
    finishes: dict[tuple[People, ...], Finish] = {}

    def finish(document: Any, facts: Any) -> Decision:
        if not document.get("approvals"):
            return nobody(document, facts)
        known = Facts.of(document, read)
        people = tuple([people_who_count(clause, known) for clause in clauses])
        made = finishes.get(people)
        if made is None:
            if len(finishes) >= _MOST_TOKENS:
                finishes.clear()
            made = finishes[people] = with_people(people)
        return made(document, facts)

    return finish


def ruling_of(
    answer: Answer, true: Sequence[CompiledRule], digest: str, explainer: Callable[[Any], Explanation]
) -> Ruling:
    """An answer with all that the true rules bring along."""
    return Ruling(
        answer.effect,
        answer.code,
        digest,
        rules=tuple(one.rule.name for one in true),
        reasons=answer.reasons,
        wants=answer.wants,
        obligations=merged_obligations(one.rule.obligations for one in true),
        advice=merged_advice(one.rule.advice for one in true),
        explainer=explainer,
    )


def _bucket(one: CompiledRule) -> Bucket:
    throttle = one.rule.throttle
    assert throttle is not None
    return Bucket(one.rule.name, _tuple_reader(throttle.key), throttle.limit, throttle.per, one.rule.message)


def _tuple_reader(paths: Sequence[str]) -> Read:
    reads = tuple(map(reader, paths))
    if len(reads) == 1:
        (only,) = reads
        return lambda document: (only(document),)
    return lambda document: tuple([read(document) for read in reads])


def reader(path: str) -> Read:
    """A function that reads the fact at a dotted path; it raises where that is not there."""
    group, _, member = path.partition(".")
    if not member:
        return itemgetter(group)
    if "." not in member:
        return lambda document: document[group][member]
    below = reader(member)
    return lambda document: below(document[group])
