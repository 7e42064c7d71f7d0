"""A held request, as the people see it who are asked to approve it.

The summary is a pure function of the ticket's canonical fields. The approver's own client renders it and
computes the digest over it, so that what is signed is what was read (threats C7).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from attrs import field, frozen

from cigate.decision import TicketId
from cigate.errors import RequestError
from cigate.money import Money
from cigate.wire.times import parse_duration, parse_timestamp, seconds, timestamp


@frozen
class Clause:
    """What one rule asks of people: `count` distinct ones, each holding one of `roles` (none listed: any approver)."""

    rule: str
    count: int
    roles: tuple[str, ...]
    ttl: timedelta
    message: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "rule": self.rule,
            "count": self.count,
            "roles": list(self.roles),
            "ttl": seconds(self.ttl),
            "message": self.message,
        }


@frozen
class Ticket:
    """What approvers are asked about. All of it is in the summary, and so in the digest that they sign.

    Args:
        id: the ticket's name: a single-use token once its quorum is met.
        audience: the gateway that asks.
        action, commit, parameters: what would run.
        agent, agent_version, user, device, purpose: who asks; version and purpose are what the agent claims.
        cost: the ceiling; a higher estimate later asks again.
        risk: score when it was held, 0 to 100; None: there was none.
        clauses: what each rule asks of people.
        created, expires: when it was held, and until when people may answer.
    """

    id: TicketId
    audience: str
    action: str
    commit: str
    parameters: Mapping[str, bool | int | str] = field(converter=lambda given: MappingProxyType(dict(given)))
    agent: str
    agent_version: str
    user: str
    device: str
    purpose: str
    cost: Money | None
    risk: int | None
    clauses: tuple[Clause, ...]
    created: datetime
    expires: datetime

    def summary(self) -> str:
        """What a person reads, and what the digest is over: one fact a line, nothing that could move the cursor."""
        wanted = [
            f"  {clause.count} of {', '.join(clause.roles) or 'any approver'} for rule {clause.rule}, within {seconds(clause.ttl)}"
            + (f": {_shown(clause.message)}" if clause.message else "")
            for clause in self.clauses
        ]
        parameters = [f"  {name} = {_shown(value)}" for name, value in sorted(self.parameters.items())]
        lines = [
            f"Approval asked by the gateway {_shown(self.audience)}, ticket {self.id}",
            f"action: {self.action}",
            f"commit: {self.commit}",
            "parameters:" if parameters else "parameters: none",
            *parameters,
            f"agent: {self.agent}",
            f"user: {self.user}",
            f"device: {self.device or 'unknown'}",
            f"agent version, as the agent claims: {_shown(self.agent_version)}",
            f"purpose, as the agent claims: {_shown(self.purpose) if self.purpose else 'none given'}",
            f"cost at most: {f'{self.cost.minor} minor units of {self.cost.currency}' if self.cost else 'none'}",
            f"risk: {self.risk if self.risk is not None else 'unknown'} of 100",
            "wanted:",
            *wanted,
            f"held: {timestamp(self.created)}",
            f"expires: {timestamp(self.expires)}",
        ]
        return "\n".join(lines) + "\n"

    @property
    def digest(self) -> str:
        """`sha256:` and hex over the UTF-8 summary: what an approval is bound to."""
        return "sha256:" + hashlib.sha256(self.summary().encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """The canonical fields; `from_json` reads them back."""
        return {
            "ticket": self.id,
            "audience": self.audience,
            "action": self.action,
            "commit": self.commit,
            "parameters": dict(self.parameters),
            "agent": self.agent,
            "agent_version": self.agent_version,
            "user": self.user,
            "device": self.device,
            "purpose": self.purpose,
            "cost": {"amount": self.cost.minor, "currency": self.cost.currency} if self.cost else None,
            "risk": self.risk,
            "clauses": [clause.to_json() for clause in self.clauses],
            "created": timestamp(self.created),
            "expires": timestamp(self.expires),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Ticket:
        """Read `to_json` back; other names in the document (state, summary, digest) are ignored: they are derived.

        Raises:
            RequestError: `ticket.malformed`.
        """
        try:
            cost = document["cost"]
            return cls(
                id=TicketId(document["ticket"]),
                audience=document["audience"],
                action=document["action"],
                commit=document["commit"],
                parameters=document["parameters"],
                agent=document["agent"],
                agent_version=document["agent_version"],
                user=document["user"],
                device=document["device"],
                purpose=document["purpose"],
                cost=Money(cost["amount"], cost["currency"]) if cost is not None else None,
                risk=document["risk"],
                clauses=tuple(
                    Clause(
                        rule=clause["rule"],
                        count=clause["count"],
                        roles=tuple(clause["roles"]),
                        ttl=parse_duration(clause["ttl"]),
                        message=clause["message"],
                    )
                    for clause in document["clauses"]
                ),
                created=parse_timestamp(document["created"]),
                expires=parse_timestamp(document["expires"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RequestError("ticket.malformed", f"this is not a ticket as `status` prints it: {error!r}") from error


def _shown(value: bool | int | str) -> str:
    """A value on one line: as JSON, with everything outside printable ASCII escaped."""
    return json.dumps(value, ensure_ascii=True)
