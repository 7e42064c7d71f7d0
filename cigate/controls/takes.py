"""All that a decision names in `takes`, taken together or not at all.

`take_keys` says which rows to read, `take` what to write; both are pure, so a transaction that holds them is
all there is to it. A ticket that is given is used up by any allow, also when today's policy asks nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from cigate.controls.approvals import distinct_people, redeem, ticket_keys
from cigate.controls.budgets import Budget, budget_keys_of, budget_row, reserve_budget
from cigate.controls.throttles import draw, throttle_key
from cigate.decision import Decision, DecisionId, Effect, Quorum, Reservation, Taken, TicketId, Token
from cigate.errors import ConfigError, RequestError
from cigate.money import Money
from cigate.stores import Key, Put, Rows
from cigate.wire.times import seconds

_NOBODY: Final = Quorum(rule="", count=0, roles=(), people=())
"""What is refused when a ticket is spent and no rule asks for people any more."""


def take_keys(
    decision: Decision,
    *,
    decision_id: DecisionId,
    now: datetime,
    budget: Budget | None,
    ticket: TicketId | None,
) -> frozenset[Key]:
    """The rows that `take` must see."""
    keys = {throttle_key(take) for take in decision.takes if isinstance(take, Token)}
    if ticket is not None:
        keys |= ticket_keys(ticket)
    if budget is not None and any(isinstance(take, Reservation) for take in decision.takes):
        keys |= budget_keys_of(decision_id, budget_row(budget, now))
    return frozenset(keys)


def take(
    decision: Decision,
    rows: Rows,
    *,
    decision_id: DecisionId,
    now: datetime,
    budget: Budget | None,
    ticket: TicketId | None,
) -> tuple[Taken, Mapping[Key, Put]]:
    """Take all that an allow wants: the answer for `settle`, and the writes (none if anything is refused).

    Raises:
        StoreUnavailable: a row can't be read.
    """
    if decision.effect is not Effect.ALLOW:
        return Taken(), {}
    quorums = tuple(wanted for wanted in decision.takes if isinstance(wanted, Quorum))
    spends_ticket = () if quorums or ticket is None else (_NOBODY,)
    people = frozenset(person for quorum in quorums for person in quorum.people)
    seen = dict(rows)
    puts: dict[Key, Put] = {}
    for wanted in (*decision.takes, *spends_ticket):
        try:
            match wanted:
                case Token():
                    drawn = draw(seen, wanted, now)
                    if drawn.retry_after is not None:
                        return _empty(wanted, drawn.retry_after), {}
                    writes = drawn.puts
                case Quorum():
                    _check_quorum(wanted)
                    first = wanted in (quorums[:1] or spends_ticket)
                    writes = _spend(seen, ticket, decision_id, people, now) if first else {}
                case Reservation():
                    writes = _reserve(seen, wanted, budget, decision_id, now)
        except (RequestError, ConfigError) as refusal:
            return Taken(wanted, refusal.code, refusal.message), {}
        puts.update(writes)
        seen.update({key: put.value for key, put in writes.items() if put.value is not None})
    return Taken(), puts


def _empty(token: Token, retry_after: timedelta) -> Taken:
    message = f"rule {token.rule!r} allows {token.limit} in {seconds(token.per)}"
    return Taken(token, "throttle.empty", message, retry_after)


def _check_quorum(quorum: Quorum) -> None:
    people = distinct_people(quorum.people)
    if people < quorum.count:
        raise RequestError(
            "approval.quorum", f"rule {quorum.rule!r} asks for {quorum.count}, {people} approved"
        )


def _spend(
    rows: Rows, ticket: TicketId | None, decision_id: DecisionId, people: frozenset[str], now: datetime
) -> Mapping[Key, Put]:
    if ticket is None:
        raise RequestError("approval.unknown", "approvals count for a ticket, and this request has none")
    return redeem(rows, ticket, decision_id, people, now)


def _reserve(
    rows: Rows, wanted: Reservation, budget: Budget | None, decision_id: DecisionId, now: datetime
) -> Mapping[Key, Put]:
    if budget is None:
        raise RequestError("budget.unknown", "the policy reserves budget, and there is none for this team")
    return reserve_budget(rows, budget, decision_id, Money(wanted.amount, wanted.currency), now)
