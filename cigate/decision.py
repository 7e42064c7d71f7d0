"""What the policy says, as a value: the effect, why, what must still be taken, what binds.

`decide(policy, facts)` *names* what must be taken (`takes`); the controls take all of it or nothing;
`settle(decision, taken)` gives the final decision. Until then an allow is not allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Any, NewType

from attrs import evolve, field, frozen
from typing_extensions import override

from cigate.wire.times import seconds

DecisionId = NewType("DecisionId", str)
TicketId = NewType("TicketId", str)


class Effect(StrEnum):
    """The four answers, strongest first: deny > require_approval > throttle > allow."""

    DENY = "deny"
    REQUIRE_APPROVAL = "require_approval"
    THROTTLE = "throttle"
    ALLOW = "allow"

    @override
    def __str__(self) -> str:
        return self.value


@frozen
class Reason:
    """One ground of a decision: a stable code, a sentence, and the rule that gave it (empty: none did)."""

    code: str
    message: str
    rule: str = ""

    def to_json(self) -> dict[str, Any]:
        return {"code": self.code, "message": self.message, **({"rule": self.rule} if self.rule else {})}


@frozen
class Want:
    """People that are still missing: `count` more, each holding one of `roles` (none listed: any approver)."""

    rule: str
    count: int
    roles: tuple[str, ...]
    ttl: timedelta

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": "approval",
            "rule": self.rule,
            "count": self.count,
            "roles": list(self.roles),
            "ttl": seconds(self.ttl),
        }


@frozen
class Token:
    """One token to take from a bucket that gives at most `limit` in any window of `per`.

    `message` is what the rule says to whoever finds it empty; empty: the rule says nothing.
    """

    rule: str
    bucket: tuple[str, ...]
    limit: int
    per: timedelta
    message: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": "token",
            "rule": self.rule,
            "bucket": list(self.bucket),
            "limit": self.limit,
            "per": seconds(self.per),
            **({"message": self.message} if self.message else {}),
        }


@frozen
class Quorum:
    """The approvals that meet one rule's clause, to be redeemed once. `people` in canonical order."""

    rule: str
    count: int
    roles: tuple[str, ...]
    people: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": "quorum",
            "rule": self.rule,
            "count": self.count,
            "roles": list(self.roles),
            "people": list(self.people),
        }


@frozen
class Reservation:
    """Budget to reserve, in minor units of `currency`."""

    amount: int
    currency: str

    def to_json(self) -> dict[str, Any]:
        return {"kind": "budget", "amount": self.amount, "currency": self.currency}


Take = Token | Quorum | Reservation


@frozen
class Obligations:
    """What binds whoever acts on an allow; each can only narrow. None: the policy asks nothing here."""

    ttl_max: timedelta | None = None
    isolation: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            **({"ttl_max": seconds(self.ttl_max)} if self.ttl_max is not None else {}),
            **({"isolation": self.isolation} if self.isolation is not None else {}),
        }


@frozen
class Taken:
    """What the controls answered to a decision's takes: all of it (`refused` is None), or nothing.

    Args:
        refused: the first take, in the decision's order, that could not be had.
        code: stable code of why (`throttle.empty`, `budget.exhausted`, `approval.spent`).
        message: the same in words, for operators.
        retry_after: for an empty bucket, when a token will be there.
    """

    refused: Take | None = None
    code: str = ""
    message: str = ""
    retry_after: timedelta | None = None

    def to_json(self) -> dict[str, Any]:
        if self.refused is None:
            return {"all": True}
        return {
            "all": False,
            "refused": self.refused.to_json(),
            "code": self.code,
            "message": self.message,
            **({"retry_after": seconds(self.retry_after)} if self.retry_after is not None else {}),
        }


def _tuple(values: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(values)


@frozen
class Decision:
    """What was decided, and why.

    `bool(decision)` raises: ask `.allowed`, which is true only for an allow with nothing left to take.

    Args:
        effect: the answer.
        code: stable code of the main reason (`policy.allowed`, `policy.denied`, `throttle.empty` …).
        rules: names of every true applicable rule, in document order, whatever its effect.
        reasons: the grounds, the deciding ones first.
        wants: what people must still give (only with `require_approval`).
        takes: what must be taken before an allow holds.
        obligations: what binds; only narrows.
        advice: best effort notes to the host, `{"notify": ("sre",)}`.
        policy_digest: `sha256:` and hex of the policy document that decided.
        retry_after: with `throttle`, how long to wait.
    """

    effect: Effect
    code: str
    policy_digest: str
    rules: tuple[str, ...] = field(default=(), converter=_tuple)
    reasons: tuple[Reason, ...] = field(default=(), converter=_tuple)
    wants: tuple[Want, ...] = field(default=(), converter=_tuple)
    takes: tuple[Take, ...] = field(default=(), converter=_tuple)
    obligations: Obligations = Obligations()
    advice: Mapping[str, tuple[str, ...]] = field(factory=dict)
    retry_after: timedelta | None = None
    _explain: Callable[[], str] | None = field(default=None, eq=False, repr=False)

    @property
    def allowed(self) -> bool:
        """True only when the effect is allow and nothing is left to take."""
        return self.effect is Effect.ALLOW and not self.takes

    def __bool__(self) -> bool:
        raise TypeError("a Decision is neither true nor false: ask decision.allowed")

    def explain(self) -> str:
        """Why, in words: each rule with the values it saw, and what is missing for a yes.

        Of a decision that no rule made (or that was read back from somewhere) the reasons are all there is.
        """
        if self._explain is not None:
            return self._explain()
        reasons = (f"  because {reason.message}" for reason in self.reasons)
        return "\n".join((f"{self.effect.value} ({self.code})", *reasons))

    def refused(self, code: str, message: str) -> Decision:
        """This decision turned into a deny by something after the policy, which comes first in the reasons."""
        return evolve(
            self,
            effect=Effect.DENY,
            code=code,
            reasons=(Reason(code, message), *self.reasons),
            wants=(),
            takes=(),
            retry_after=None,
            explain=lambda: f"{self.explain()}\nBut {message} ({code}), so the answer is {Effect.DENY}.",
        )

    def to_json(self) -> dict[str, Any]:
        """The decision as the ledger keeps it and the command line prints it."""
        return {
            "effect": self.effect.value,
            "code": self.code,
            "rules": list(self.rules),
            "reasons": [reason.to_json() for reason in self.reasons],
            "wants": [want.to_json() for want in self.wants],
            "takes": [take.to_json() for take in self.takes],
            "obligations": self.obligations.to_json(),
            "advice": {name: list(values) for name, values in sorted(self.advice.items())},
            "policy_digest": self.policy_digest,
            **({"retry_after": seconds(self.retry_after)} if self.retry_after is not None else {}),
        }


def denied(code: str, message: str, *, policy_digest: str = "") -> Decision:
    """A deny that no rule gave: an error, a stop, a missing fact."""
    return Decision(Effect.DENY, code, policy_digest, reasons=(Reason(code, message),))
