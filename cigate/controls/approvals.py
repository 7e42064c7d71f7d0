"""Held requests and the people who answer them (threats C).

What must always hold: a ticket is redeemed at most once, by the decision that it was redeemed for; an
approval counts for exactly the ask that its digest names; the requester and the device's owner never approve;
people count, not keys. All of a ticket's state is in its own row; the rows beside it (`ask`, `pending`) only
point to tickets, so nothing has to be kept in step with it.
"""

from __future__ import annotations

import base64
import unicodedata
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from attrs import evolve, frozen

from cigate.controls.records import record, recorded, unreadable
from cigate.decision import DecisionId, TicketId
from cigate.errors import RequestError, StoreUnavailable
from cigate.stores import Key, Put, Rows
from cigate.ticket import Ticket
from cigate.wire.canonical import digest
from cigate.wire.times import parse_timestamp, timestamp

RACED: Final = "approval.raced"
"""The code of a refusal because rows were read before another ticket came up: read again."""
_KEPT: Final = timedelta(days=30)
"""How long a ticket can be looked at after it expired."""


class State(StrEnum):
    """What became of a ticket; only a pending one can be answered or redeemed."""

    PENDING = "pending"
    REDEEMED = "redeemed"
    REJECTED = "rejected"
    VOID = "void"


@frozen
class Verdict:
    """What one person signed about one ticket.

    Args:
        key_id, thumbprint: the key that signed.
        user: whose key it is, from the key record.
        verdict: `approve` or `reject`.
        at: when it was received.
        jti: the signature's nonce.
        envelope: the signed bytes, as received.
    """

    key_id: str
    thumbprint: str
    user: str
    verdict: str
    at: datetime
    jti: str
    envelope: bytes

    def to_json(self) -> dict[str, Any]:
        return {
            "key_id": self.key_id,
            "thumbprint": self.thumbprint,
            "user": self.user,
            "verdict": self.verdict,
            "at": timestamp(self.at),
            "jti": self.jti,
            "envelope": base64.b64encode(self.envelope).decode(),
        }


@frozen
class HeldTicket:
    """A held request: what people are asked, what they answered, and what became of it.

    Args:
        ticket: what they see.
        ask: `ask_digest` of what was asked; an identical ask joins this ticket.
        envelope: the signed request as received; it is verified again when the quorum is met.
        decision_id: of the decision that held it.
        state: see `State`.
        verdicts: in the order in which they came, one a person.
        redeemed_by: the decision that used it up.
    """

    ticket: Ticket
    ask: str
    envelope: bytes
    decision_id: DecisionId
    state: State = State.PENDING
    verdicts: tuple[Verdict, ...] = ()
    redeemed_by: DecisionId | None = None

    @classmethod
    def of(cls, ticket: Ticket, *, envelope: bytes, decision_id: DecisionId) -> HeldTicket:
        """A request that is to be held, as `open_ticket` wants it."""
        return cls(ticket, ask_digest(ticket), envelope, decision_id)

    @property
    def approvals(self) -> tuple[Verdict, ...]:
        """The verdicts that approve: one a person."""
        return tuple(verdict for verdict in self.verdicts if verdict.verdict == "approve")

    def to_json(self) -> dict[str, Any]:
        """As the row keeps it; `from_json` reads it back."""
        return {
            "ticket": self.ticket.to_json(),
            "ask": self.ask,
            "envelope": base64.b64encode(self.envelope).decode(),
            "decision_id": self.decision_id,
            "state": self.state.value,
            "verdicts": [verdict.to_json() for verdict in self.verdicts],
            "redeemed_by": self.redeemed_by,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> HeldTicket:
        """Read `to_json` back.

        Raises:
            KeyError, TypeError, ValueError, RequestError: it is not one.
        """
        redeemed_by = document["redeemed_by"]
        return cls(
            ticket=Ticket.from_json(document["ticket"]),
            ask=document["ask"],
            envelope=base64.b64decode(document["envelope"], validate=True),
            decision_id=DecisionId(document["decision_id"]),
            state=State(document["state"]),
            verdicts=tuple(_verdict(verdict) for verdict in document["verdicts"]),
            redeemed_by=DecisionId(redeemed_by) if redeemed_by is not None else None,
        )


def ask_digest(ticket: Ticket) -> str:
    """`sha256:` and hex over all that an approval binds (threats C2): identical asks have equal ones."""
    return digest(
        {
            "type": "cigate/ask/v1",
            "action": ticket.action,
            "commit": ticket.commit,
            "parameters": ticket.parameters,
            "agent": ticket.agent,
            "agent_version": ticket.agent_version,
            "user": ticket.user,
            "device": ticket.device,
            "purpose": ticket.purpose,
            "cost": {"amount": ticket.cost.minor, "currency": ticket.cost.currency} if ticket.cost else None,
            "clauses": [clause.to_json() for clause in ticket.clauses],
        }
    )


def ticket_keys(ticket_id: TicketId) -> frozenset[Key]:
    """The rows that `read_ticket`, `record_verdict` and `redeem` must see."""
    return frozenset({_row(ticket_id)})


def ask_keys(held: HeldTicket, seen: Rows) -> frozenset[Key]:
    """The rows that `open_ticket` must see: read those for no rows, then ask again with what was read.

    The second answer names the tickets to which the first rows point.
    """
    pointers = {_ask(held), *_pending(held)}
    tickets = {_row(TicketId(id)) for pointer in pointers for id in _pointed(seen, pointer)}
    return frozenset(pointers | tickets | {_row(held.ticket.id)})


def read_ticket(rows: Rows, ticket_id: TicketId) -> HeldTicket | None:
    """The ticket in its row, whatever its state.

    Raises:
        StoreUnavailable: `store.corrupt`.
    """
    key = _row(ticket_id)
    document = recorded(rows, key)
    if document is None:
        return None
    try:
        return HeldTicket.from_json(document)
    except (KeyError, TypeError, ValueError, RequestError) as error:
        raise unreadable(key, repr(error)) from error


def open_ticket(
    rows: Rows, held: HeldTicket, *, now: datetime, most_pending: int = 20
) -> tuple[HeldTicket, Mapping[Key, Put]]:
    """Hold a request: as the ticket given, or by joining the pending one that asks the same.

    Raises:
        RequestError: `approval.too-many-pending`, for this user or this agent.
        StoreUnavailable: `approval.raced`, the rows are not those that `ask_keys` names now: read again.
    """
    for id in _pointed(rows, _ask(held)):
        if _row(TicketId(id)) not in rows and TicketId(id) != held.ticket.id:
            raise StoreUnavailable(RACED, f"ticket {id} came up meanwhile", fix="read again")
        same = read_ticket(rows, TicketId(id))
        if same is not None and _is_pending(same, now):
            return same, {}
    if _row(held.ticket.id) in rows:
        raise StoreUnavailable(RACED, f"there is a ticket {held.ticket.id} already")
    puts = {
        _row(held.ticket.id): _put(held),
        _ask(held): record({"tickets": [held.ticket.id]}, expires=held.ticket.expires),
    }
    for pointer in _pending(held):
        pending = [id for id in _pointed(rows, pointer) if _may_be_pending(rows, TicketId(id), now)]
        if len(pending) >= most_pending:
            raise RequestError(
                "approval.too-many-pending",
                f"{len(pending)} requests of {pointer.id} wait for approval already",
                fix="have one of them answered first",
            )
        puts[pointer] = record({"tickets": [*pending, held.ticket.id]})
    return held, puts


def record_verdict(
    rows: Rows,
    ticket_id: TicketId,
    verdict: Verdict,
    *,
    digest: str,
    now: datetime,
    device_owner: str | None,
) -> tuple[HeldTicket, Mapping[Key, Put]]:
    """Count what a person signed: the same person's second approval changes nothing, one rejection rejects.

    Args:
        digest: what was signed: the ticket's, or the answer is about something else.
        device_owner: of the device that the request came from, if anybody owns it.

    Raises:
        RequestError: `approval.unknown`, `approval.spent`, `approval.rejected`, `approval.void`,
            `approval.expired`, `approval.mismatch` (signed for something else), `approval.self`,
            `approval.verdict` (neither approve nor reject).
    """
    held = _answerable(rows, ticket_id, now)
    if digest != held.ticket.digest:
        raise RequestError("approval.mismatch", f"the signature is not about what ticket {ticket_id} asks")
    if verdict.verdict == "reject":
        after = evolve(held, state=State.REJECTED, verdicts=(*held.verdicts, verdict))
        return after, {_row(ticket_id): _put(after)}
    if verdict.verdict != "approve":
        raise RequestError("approval.verdict", f"{verdict.verdict!r} is neither approve nor reject")
    asking = {held.ticket.user, held.ticket.agent, *([device_owner] if device_owner else [])}
    if _person(verdict.user) in {_person(name) for name in asking}:
        raise RequestError("approval.self", f"{verdict.user} can't approve what they ask for themselves")
    if _person(verdict.user) in {_person(other.user) for other in held.verdicts}:
        return held, {}
    after = evolve(held, verdicts=(*held.verdicts, verdict))
    return after, {_row(ticket_id): _put(after)}


def redeem(
    rows: Rows, ticket_id: TicketId, decision_id: DecisionId, people: Collection[str], now: datetime
) -> Mapping[Key, Put]:
    """The writes that use a ticket up for a decision that counts on these people's approvals.

    Raises:
        RequestError: `approval.unknown`, `approval.spent`, `approval.rejected`, `approval.void`,
            `approval.expired`, `approval.missing` (one of them did not approve).
    """
    held = _answerable(rows, ticket_id, now)
    missing = sorted(set(people) - {verdict.user for verdict in held.approvals})
    if missing:
        raise RequestError("approval.missing", f"{', '.join(missing)} did not approve ticket {ticket_id}")
    return {_row(ticket_id): _put(evolve(held, state=State.REDEEMED, redeemed_by=decision_id))}


def void_tickets(rows: Rows) -> Mapping[Key, Put]:
    """The writes that end every pending ticket among these rows: state was restored, they count no more."""
    puts: dict[Key, Put] = {}
    for key in rows:
        held = read_ticket(rows, TicketId(key.id)) if key.family == "ticket" else None
        if held is not None and held.state is State.PENDING:
            puts[key] = _put(evolve(held, state=State.VOID))
    return puts


def distinct_people(names: Collection[str]) -> int:
    """How many people these names are: spellings that differ in case, or in Unicode form only, are one."""
    return len({_person(name) for name in names})


def _person(name: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).strip()


_ENDED: Final = {
    State.REDEEMED: ("approval.spent", "was used up"),
    State.REJECTED: ("approval.rejected", "was rejected"),
    State.VOID: ("approval.void", "is void"),
}


def _answerable(rows: Rows, ticket_id: TicketId, now: datetime) -> HeldTicket:
    held = read_ticket(rows, ticket_id)
    if held is None:
        raise RequestError("approval.unknown", f"there is no ticket {ticket_id}")
    if held.state in _ENDED:
        code, what = _ENDED[held.state]
        raise RequestError(code, f"ticket {ticket_id} {what}")
    if now >= held.ticket.expires:
        raise RequestError("approval.expired", f"ticket {ticket_id} expired {timestamp(held.ticket.expires)}")
    return held


def _is_pending(held: HeldTicket, now: datetime) -> bool:
    return held.state is State.PENDING and now < held.ticket.expires


def _may_be_pending(rows: Rows, ticket_id: TicketId, now: datetime) -> bool:
    """Whether to count it; one that was not read came up meanwhile, so it counts."""
    held = read_ticket(rows, ticket_id)
    return held is None or _is_pending(held, now)


def _row(ticket_id: TicketId) -> Key:
    return Key("ticket", ticket_id)


def _put(held: HeldTicket) -> Put:
    return record(held.to_json(), expires=held.ticket.expires + _KEPT)


def _ask(held: HeldTicket) -> Key:
    return Key("ask", held.ask)


def _pending(held: HeldTicket) -> tuple[Key, Key]:
    return Key("pending", f"user {held.ticket.user}"), Key("pending", f"agent {held.ticket.agent}")


def _pointed(rows: Rows, pointer: Key) -> list[str]:
    found = (recorded(rows, pointer) or {"tickets": []}).get("tickets")
    if not isinstance(found, list) or not all(isinstance(id, str) for id in found):
        raise unreadable(pointer, "it does not list tickets")
    return found


def _verdict(document: Mapping[str, Any]) -> Verdict:
    return Verdict(
        key_id=document["key_id"],
        thumbprint=document["thumbprint"],
        user=document["user"],
        verdict=document["verdict"],
        at=parse_timestamp(document["at"]),
        jti=document["jti"],
        envelope=base64.b64decode(document["envelope"], validate=True),
    )
