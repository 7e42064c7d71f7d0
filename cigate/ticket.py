"""A held request, as the people see it who are asked to approve it.

The summary is a pure function of the ticket's canonical fields. The approver's own client renders it and
computes the digest over it, so that what is signed is what was read (threats C7).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, TypeVar

from attrs import field, frozen

from cigate.decision import TicketId
from cigate.errors import ConfigError, RequestError
from cigate.money import Money
from cigate.wire.times import parse_duration, parse_timestamp, seconds, timestamp

_PLAIN = re.compile(r"[!#-\[\]-~]+")  # printable ASCII but space, quote and backslash


@frozen
class Clause:
    """What one rule asks of people: `count` distinct ones, each with one of `roles` (none: any approver)."""

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

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Clause:
        """Read `to_json` back.

        Raises:
            KeyError, TypeError, ValueError: it is not such a clause; `Ticket.from_json` turns them into one.
        """
        return cls(
            rule=_of(str, document["rule"]),
            count=_of(int, document["count"]),
            roles=tuple(_of(str, role) for role in _of(list, document["roles"])),
            ttl=parse_duration(document["ttl"]),
            message=_of(str, document["message"]),
        )


def _frozen_map(given: Mapping[str, bool | int | str]) -> Mapping[str, bool | int | str]:
    return MappingProxyType(dict(given))


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
    parameters: Mapping[str, bool | int | str] = field(converter=_frozen_map)
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
        """What a person reads and the digest is over: one fact a line, nothing that could move the cursor."""
        wanted = [
            f"  {clause.count} of {', '.join(map(_plain, clause.roles)) or 'any approver'}"
            f" for rule {_plain(clause.rule)}, within {seconds(clause.ttl)}"
            + (f": {_quoted(clause.message)}" if clause.message else "")
            for clause in self.clauses
        ]
        parameters = [
            f"  {_plain(name)} = {_quoted(value)}" for name, value in sorted(self.parameters.items())
        ]
        cost = (
            "none" if self.cost is None else f"{self.cost.minor} minor units of {_plain(self.cost.currency)}"
        )
        lines = [
            f"Approval asked by the gateway {_quoted(self.audience)}, ticket {_plain(self.id)}",
            f"action: {_plain(self.action)}",
            f"commit: {_plain(self.commit)}",
            "parameters:" if parameters else "parameters: none",
            *parameters,
            f"agent: {_plain(self.agent)}",
            f"user: {_plain(self.user)}",
            f"device: {_plain(self.device) if self.device else 'not known'}",
            f"agent version, as the agent claims: {_quoted(self.agent_version)}",
            f"purpose, as the agent claims: {_quoted(self.purpose) if self.purpose else 'none given'}",
            f"cost at most: {cost}",
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
        """Read `to_json` back; other names in the document (state, summary, digest) are derived, so ignored.

        Raises:
            RequestError: `ticket.malformed`.
        """
        try:
            cost = document["cost"]
            return cls(
                id=TicketId(_of(str, document["ticket"])),
                audience=_of(str, document["audience"]),
                action=_of(str, document["action"]),
                commit=_of(str, document["commit"]),
                parameters={_of(str, name): _scalar(value) for name, value in document["parameters"].items()},
                agent=_of(str, document["agent"]),
                agent_version=_of(str, document["agent_version"]),
                user=_of(str, document["user"]),
                device=_of(str, document["device"]),
                purpose=_of(str, document["purpose"]),
                cost=None if cost is None else Money(cost["amount"], cost["currency"]),
                risk=None if document["risk"] is None else _of(int, document["risk"]),
                clauses=tuple(map(Clause.from_json, _of(list, document["clauses"]))),
                created=parse_timestamp(document["created"]),
                expires=parse_timestamp(document["expires"]),
            )
        except KeyError as error:
            raise RequestError("ticket.malformed", f"this ticket has no {error.args[0]}") from error
        except (TypeError, ValueError, AttributeError, ConfigError) as error:
            raise RequestError(
                "ticket.malformed", f"this is not a ticket as `status` prints it: {error}"
            ) from error


_T = TypeVar("_T")


def _of(kind: type[_T], value: object) -> _T:
    if type(value) is not kind:
        raise TypeError(f"expected {kind.__name__}, found {type(value).__name__}")
    return value


def _scalar(value: object) -> bool | int | str:
    if type(value) is bool or type(value) is int or type(value) is str:
        return value
    raise TypeError(f"a parameter is a string, an integer or a boolean, not {type(value).__name__}")


def _plain(value: str) -> str:
    """A name as it is, if nothing in it could be taken for anything else; else quoted. No two look alike."""
    return value if _PLAIN.fullmatch(value) else _quoted(value)


def _quoted(value: bool | int | str) -> str:
    """A value on one line: as JSON, with everything outside printable ASCII escaped."""
    return json.dumps(value, ensure_ascii=True)
