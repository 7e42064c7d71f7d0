"""Decide every recorded decision again, from the facts that were recorded, and say where the answers differ.

This works without any state: what was taken is in the entry. The engine comes in as two functions, since the
ledger knows no policy. What an entry of kind `decision` holds, for this to be possible:

- public: `decision_id`, `effect`, `code`, `rules`, `policy_digest`, and what else a receipt shows;
- private `decision`: the final decision (`Decision.to_json`);
- private `facts` (`Facts.to_json`), unless it was refused before the policy ran;
- private `taken` (`Taken.to_json`), if there was something to take;
- private `overridden`, `{"code", "message"}`, if something other than the policy refused it, and then
  `policy_decision`, the policy's own answer, if it gave one. Only a deny can be such a decision: nothing but
  the policy ever opens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from attrs import frozen

from cigate.decision import Decision, Effect, Quorum, Reservation, Take, Taken, Token
from cigate.errors import CigateError, LedgerError
from cigate.facts import Facts, Schema
from cigate.ledger.entry import Entry
from cigate.wire.times import parse_duration

_SHOWN: Final = ("effect", "code", "rules", "policy_digest")
"""Fields of the decision that the public part repeats."""

_ABSENT: Final = object()


@frozen
class Difference:
    """One field of one recorded decision that is not what deciding again gives.

    Args:
        index: the entry.
        decision_id: the decision; empty if the entry names none.
        field: where: `effect`, `public.effect`, `policy` (it could not decide) …
        recorded: what the ledger says.
        replayed: what deciding again says; None: nothing.
    """

    index: int
    decision_id: str
    field: str
    recorded: Any
    replayed: Any

    def to_json(self) -> dict[str, Any]:
        return {
            "index": self.index,
            "decision_id": self.decision_id,
            "field": self.field,
            "recorded": self.recorded,
            "replayed": self.replayed,
        }


def replay(
    entries: Iterable[Entry],
    decide: Callable[[str, Facts], Decision],
    settle: Callable[[Decision, Taken], Decision],
    *,
    schema: Schema | None = None,
) -> tuple[Difference, ...]:
    """Decide again, and compare. No difference: the recorded decisions are what policy and facts give.

    Args:
        entries: any; those that are no decision are passed over.
        decide: the engine: policy digest as recorded, and facts. To try another policy, ignore the digest and
            give it to the answer, or every entry differs in it. A CigateError from it is a difference.
        settle: what makes a final decision of it, given what was taken.
        schema: the facts that exist; None: the default.
    """
    return tuple(
        difference
        for entry in entries
        if entry.kind == "decision"
        for difference in _compare(entry, decide, settle, schema)
    )


def taken_from_json(document: Mapping[str, Any]) -> Taken:
    """Read `Taken.to_json` back.

    Raises:
        LedgerError: `ledger.taken`.
    """
    try:
        if document["all"] is True:
            return Taken()
        if document["all"] is not False:
            raise TypeError("`all` is neither true nor false")
        retry_after = document.get("retry_after")
        return Taken(
            refused=_take(document["refused"]),
            code=document["code"],
            message=document["message"],
            retry_after=parse_duration(retry_after) if retry_after is not None else None,
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise LedgerError("ledger.taken", f"what was taken can't be read: {error!r}") from error


def _take(document: Mapping[str, Any]) -> Take:
    match document["kind"]:
        case "token":
            return Token(
                document["rule"],
                tuple(document["bucket"]),
                document["limit"],
                parse_duration(document["per"]),
                document.get("message", ""),
            )
        case "quorum":
            return Quorum(
                document["rule"], document["count"], tuple(document["roles"]), tuple(document["people"])
            )
        case "budget":
            return Reservation(document["amount"], document["currency"])
        case other:
            raise ValueError(f"{other!r} is nothing that can be taken")


def _compare(
    entry: Entry,
    decide: Callable[[str, Facts], Decision],
    settle: Callable[[Decision, Taken], Decision],
    schema: Schema | None,
) -> Iterator[Difference]:
    identity = entry.public.get("decision_id")
    name = identity if isinstance(identity, str) else ""

    def differs(field: str, recorded: Any, replayed: Any) -> Difference:
        return Difference(entry.index, name, field, recorded, replayed)

    final = entry.private.get("decision")
    if not isinstance(final, Mapping):
        yield differs("decision", None, "an entry of this kind holds a decision")
        return
    for field in _SHOWN:
        if entry.public.get(field, _ABSENT) != final.get(field, _ABSENT):
            yield differs(f"public.{field}", entry.public.get(field), final.get(field))

    recorded: Any = final
    overridden = entry.private.get("overridden")
    if overridden is not None:
        # Nothing but the policy opens, so an override can hide no allow.
        code = overridden.get("code") if isinstance(overridden, Mapping) else None
        for field, wanted in (("effect", Effect.DENY.value), ("code", code)):
            if final.get(field) != wanted:
                yield differs(field, final.get(field), wanted)
        recorded = entry.private.get("policy_decision")
        if recorded is None:
            return
    elif "facts" not in entry.private:
        yield differs("facts", None, "a decision of the policy has facts")
        return

    try:
        again = _decided(entry, decide, settle, schema, settled=overridden is None)
    except CigateError as error:
        yield differs("policy", final.get("policy_digest"), str(error))
        return
    if not isinstance(recorded, Mapping):
        yield differs("policy_decision", recorded, again)
        return
    for field in sorted({*recorded, *again}):
        if recorded.get(field, _ABSENT) != again.get(field, _ABSENT):
            yield differs(field, recorded.get(field), again.get(field))


def _decided(
    entry: Entry,
    decide: Callable[[str, Facts], Decision],
    settle: Callable[[Decision, Taken], Decision],
    schema: Schema | None,
    *,
    settled: bool,
) -> dict[str, Any]:
    facts, taken = entry.private.get("facts"), entry.private.get("taken")
    if not isinstance(facts, Mapping) or not isinstance(taken, Mapping | None):
        raise LedgerError("ledger.facts", f"entry {entry.index} holds no facts to decide upon")
    decision = decide(str(entry.public.get("policy_digest", "")), Facts.of(facts, schema))
    if settled and taken is not None:
        decision = settle(decision, taken_from_json(taken))
    return decision.to_json()
