"""One transaction decides for good: what was to be taken is taken, and the decision is in the ledger.

In one commit: the nonce is spent first, the fence is the one that was decided under (else decide again),
tokens, approvals and budget are taken all or none, and the decision is appended, with the intent if it
is an allow, or the ticket if people are asked.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from attrs import field, frozen

from cigate.action import Action
from cigate.attestation import Attestation
from cigate.controls import (
    FENCE,
    Budget,
    Fence,
    HeldTicket,
    Verdict,
    ask_keys,
    budget_row,
    history_keys,
    nonce_keys,
    open_ticket,
    read_fence,
    record_history,
    spend_nonce,
    take,
    take_keys,
    ticket_keys,
    void_tickets,
)
from cigate.decision import Decision, DecisionId, Effect, Obligations, Quorum, TicketId
from cigate.facts import Facts
from cigate.intent import Intent
from cigate.journal import Journal, Step
from cigate.ledger import Appended, Draft, Entry
from cigate.money import Money
from cigate.policy import settle
from cigate.stores import Key, Put, Rows
from cigate.ticket import Clause, Ticket
from cigate.wire import canonical
from cigate.wire.times import timestamp

RISK_BAND: Final = 25
"""Points of risk; an approval holds within the band that it was given in."""


class FenceMoved(Exception):
    """Stops, policy or configuration changed since the decision: decide again."""


@frozen
class Asked:
    """One attested request on its way through a decision.

    Args:
        attestation: who asks for what, signed.
        decision_id: the id that a decision about it will have.
        now: the moment of the decision.
        fence: what it is decided under.
        budget: what it is charged to, if anything.
        ticket: the held request that is decided again; None for a fresh one.
    """

    attestation: Attestation
    decision_id: DecisionId
    now: datetime
    fence: Fence
    budget: Budget | None = None
    ticket: HeldTicket | None = None


@frozen
class Admitted:
    """What the transaction made of a decision.

    Args:
        decision: settled.
        receipt: signed proof of it, canonical JSON.
        ticket: with `require_approval`, what people are asked; an identical request joins the pending one.
    """

    decision: Decision
    receipt: bytes = field(repr=False)
    ticket: Ticket | None = None


def admit(
    journal: Journal,
    asked: Asked,
    decision: Decision,
    facts: Facts | None,
    *,
    intent: Intent | None,
    audience: str,
    origin: str,
    own: Decision | None,
    skew: timedelta,
) -> Admitted:
    """Commit a decision: all of it, or nothing.

    Args:
        decision: what the policy (or what came before it) says, with its takes.
        facts: the document that it was decided on; None when it was refused before there was one.
        intent: what to do if it is settled as an allow.
        own: the policy's own answer, where something before or after it decided otherwise; replay compares with it.

    Raises:
        FenceMoved: decide again.
        AttestationError: `attestation.replayed`, `attestation.replay-store-full`: nothing was kept.
        RequestError: `approval.too-many-pending`: nothing was kept.
        StoreUnavailable, StoreUncertain.
    """
    fresh = asked.ticket is None
    request, key = asked.attestation.request, asked.attestation.key
    redeemed = TicketId(asked.ticket.ticket.id) if asked.ticket is not None else None
    asking = (
        new_ticket(asked, decision, facts, audience)
        if decision.effect is Effect.REQUIRE_APPROVAL and fresh
        else None
    )
    salt, ticket_salt = secrets.token_bytes(16), secrets.token_bytes(16)

    def work(rows: Rows) -> Step[tuple[Decision, Ticket | None]]:
        if read_fence(rows) != asked.fence:
            raise FenceMoved
        puts: dict[Key, Put] = {}
        if fresh:
            expires = asked.attestation.expires + skew
            puts.update(
                spend_nonce(
                    rows, key.thumbprint, asked.attestation.signed.jti, expires=expires, now=asked.now
                )
            )
        taken, took = take(
            decision, rows, decision_id=asked.decision_id, now=asked.now, budget=asked.budget, ticket=redeemed
        )
        settled = settle(decision, taken)
        puts.update(took)
        ticket = None
        if asking is not None:
            held, opened = open_ticket(rows, asking, now=asked.now)
            puts.update(opened)
            ticket = held.ticket
        if redeemed is not None and settled.effect is Effect.DENY:
            puts.update(void_tickets(rows))
        what: Literal["denials", "requests"] = "denials" if settled.effect is Effect.DENY else "requests"
        puts.update(record_history(rows, request.agent_id, what, asked.now))
        record: dict[str, Any] = {
            "state": "intent" if settled.allowed else "decided",
            "effect": settled.effect.value,
            "code": settled.code,
            "at": timestamp(asked.now),
            "action": request.action,
            "commit": request.commit,
            "agent": request.agent_id,
            "user": request.user_id,
            "ticket": ticket.id if ticket is not None else redeemed,
            "reasons": [reason.to_json() for reason in settled.reasons],
        }
        drafts = [
            Draft(
                "decision",
                _public(asked, settled, audience, origin),
                {
                    **_private(asked, facts, ticket),
                    "decision": settled.to_json(),
                    "taken": taken.to_json(),
                    **_overridden(decision, own),
                },
                salt,
            )
        ]
        if settled.allowed and intent is not None:
            puts[intent.row] = Put(canonical.encode(intent.to_json()))
            drafts.append(Draft("intent", {"decision_id": asked.decision_id}, intent.to_json(), ticket_salt))
        puts[Key("decision", asked.decision_id)] = Put(canonical.encode(record))
        return Step((settled, ticket), puts, drafts)

    keys = {FENCE, *history_keys(request.agent_id)}
    keys |= take_keys(
        decision, decision_id=asked.decision_id, now=asked.now, budget=asked.budget, ticket=redeemed
    )
    if fresh:
        keys |= nonce_keys(key.thumbprint, asked.attestation.signed.jti)
    if redeemed is not None:
        keys |= ticket_keys(redeemed)
    if asking is not None:
        seen = journal.store.read(ask_keys(asking, {}))
        keys |= ask_keys(asking, seen)
    (settled, ticket), appended = journal.write(
        keys, work, now=asked.now, proof=Key("decision", asked.decision_id)
    )
    return Admitted(settled, _receipt_of(appended), ticket)


def intended(asked: Asked, action: Action, decision: Decision, facts: Facts, *, owner: str) -> Intent:
    """What an allow intends: which run, under whose name, with which credential at most, charged to what."""
    request, key, use = asked.attestation.request, asked.attestation.key, action.credential
    budget = asked.budget
    return Intent(
        decision_id=asked.decision_id,
        owner=owner,
        key=key.id,
        agent=request.agent_id,
        user=request.user_id,
        device=key.device or "",
        action=action.name,
        pipeline=action.pipeline,
        broker=use.broker if use is not None else "",
        profile=use.profile if use is not None else "",
        audience=asked.decision_id,
        ttl=least_ttl(action, decision.obligations),
        price=action.cost,
        reserved=ceiling(facts) if budget is not None else None,
        budget=budget_row(budget, asked.now) if budget is not None else "",
        policy_digest=asked.fence.policy_digest,
        config_digest=asked.fence.config_digest,
        begun=asked.now,
    )


def least_ttl(action: Action, obligations: Obligations) -> timedelta:
    """The longest that a run's credential may live: the least of the action's, the policy's, and the run's own time."""
    if action.credential is None:
        return timedelta(0)
    limits = [action.credential.ttl, obligations.ttl_max or action.credential.ttl]
    return min(limits)


def beyond_approval(ticket: Ticket, decision: Decision, facts: Facts) -> str:
    """How what is decided now goes beyond what the approvers agreed to, in words; empty when it does not."""
    cost = ceiling(facts)
    if cost is not None and (
        ticket.cost is None or cost.currency != ticket.cost.currency or cost.minor > ticket.cost.minor
    ):
        return f"it costs {cost} now, approved was {ticket.cost or 'nothing'}"
    score = facts.get("risk.score")
    if score is not None and ticket.risk is not None and score // RISK_BAND > ticket.risk // RISK_BAND:
        return f"its risk is {score} now, approved was {ticket.risk}"
    agreed = {(clause.rule, clause.count, clause.roles) for clause in ticket.clauses}
    for quorum in decision.takes:
        if isinstance(quorum, Quorum) and (quorum.rule, quorum.count, quorum.roles) not in agreed:
            return f"rule {quorum.rule} asks for something else now than what was approved"
    return ""


def new_ticket(asked: Asked, decision: Decision, facts: Facts | None, audience: str) -> HeldTicket:
    """The ticket that holds a request until people have answered."""
    request, key = asked.attestation.request, asked.attestation.key
    clauses = clauses_of(decision)
    ticket = Ticket(
        id=TicketId("tkt-" + secrets.token_hex(10)),
        audience=audience,
        action=request.action,
        commit=request.commit,
        parameters=request.parameters,
        agent=request.agent_id,
        agent_version=request.agent_version,
        user=request.user_id,
        device=key.device or "",
        purpose=request.purpose or "",
        cost=ceiling(facts),
        risk=facts.get("risk.score") if facts is not None else None,
        clauses=clauses,
        created=asked.now,
        expires=asked.now + min(clause.ttl for clause in clauses),
    )
    return HeldTicket.of(ticket, envelope=asked.attestation.envelope, decision_id=asked.decision_id)


def clauses_of(decision: Decision) -> tuple[Clause, ...]:
    """What the policy asks of people, rule by rule, with the rule's own message."""
    said = {reason.rule: reason.message for reason in decision.reasons}
    return tuple(
        Clause(want.rule, want.count, want.roles, want.ttl, said.get(want.rule, ""))
        for want in decision.wants
    )


def ceiling(facts: Facts | None) -> Money | None:
    """The cost that approvers agree to: the estimate of the moment."""
    amount, currency = (
        (facts.get("cost.estimate"), facts.get("cost.currency")) if facts is not None else (None, None)
    )
    return Money(amount, currency) if amount and currency else None


def _public(asked: Asked, decision: Decision, audience: str, origin: str) -> Mapping[str, Any]:
    return {
        "decision_id": asked.decision_id,
        "effect": decision.effect.value,
        "code": decision.code,
        "rules": list(decision.rules),
        "action": asked.attestation.request.action,
        "commit": asked.attestation.request.commit,
        "audience": audience,
        "origin": origin,
        "policy_digest": decision.policy_digest or asked.fence.policy_digest,
        "config_digest": asked.fence.config_digest,
        "fence": asked.fence.generation,
    }


def _private(asked: Asked, facts: Facts | None, ticket: Ticket | None) -> dict[str, Any]:
    attestation, held = asked.attestation, asked.ticket
    verdicts: Sequence[Verdict] = held.verdicts if held is not None else ()
    return {
        "agent": attestation.request.agent_id,
        "user": attestation.request.user_id,
        "device": attestation.key.device,
        "parameters": dict(attestation.request.parameters),
        "purpose": attestation.request.purpose,
        "facts": facts.to_json() if facts is not None else None,
        "envelope": base64.b64encode(attestation.envelope).decode(),
        "key": attestation.key.to_json(),
        "ticket": ticket.id if ticket is not None else (held.ticket.id if held is not None else None),
        "held_by": held.decision_id if held is not None else None,
        "approvals": [
            {"user": verdict.user, "key": verdict.key_id, "jti": verdict.jti} for verdict in verdicts
        ],
    }


def _overridden(decision: Decision, own: Decision | None) -> dict[str, Any]:
    if own is decision:
        return {}
    said = {"code": decision.code, "message": decision.reasons[0].message}
    return {"overridden": said, "policy_decision": own.to_json() if own is not None else None}


def _receipt_of(appended: Appended | None) -> bytes:
    if appended is None:
        return b""
    entry: Entry = next(entry for entry in appended.entries if entry.kind == "decision")
    return appended.receipt(entry.index).to_bytes()
