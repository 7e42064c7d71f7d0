"""What the policy says, as a value: the effect, why, what must still be taken, what binds.

`decide(policy, facts)` *names* what must be taken (`takes`); the controls take all of it or nothing;
`settle(decision, taken)` gives the final decision. Until then an allow is not allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, NewType, Protocol

from attrs import evolve, field, fields, frozen, make_class
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


class Explanation(Protocol):
    """Why a decision is what it is, in the forms in which people read it."""

    def to_text(self) -> str: ...
    def _repr_html_(self) -> str: ...
    def _repr_markdown_(self) -> str: ...


@frozen
class Ruling:
    """What the rules that are true together come to: all of a decision but what must be taken.

    It names no fact, so one serves every decision that the same rules give.

    Args:
        effect, code, policy_digest, rules, reasons, wants, obligations, advice, retry_after: as a `Decision` has them.
        explainer: from facts to why; None: the reasons are all there is.
        before: the decision that this one was, before what `note` says happened to it.
    """

    effect: Effect
    code: str
    policy_digest: str
    rules: tuple[str, ...] = field(default=(), converter=_tuple)
    reasons: tuple[Reason, ...] = field(default=(), converter=_tuple)
    wants: tuple[Want, ...] = field(default=(), converter=_tuple)
    obligations: Obligations = Obligations()
    advice: Mapping[str, tuple[str, ...]] = field(factory=dict)
    retry_after: timedelta | None = None
    explainer: Callable[[Any], Explanation] | None = field(default=None, eq=False, repr=False)
    before: Decision | None = field(default=None, eq=False, repr=False)
    note: str = field(default="", eq=False, repr=False)


@frozen(init=False, eq=False, repr=False)
class Decision:
    """What was decided, and why.

    `bool(decision)` raises: ask `.allowed`, which is true only for an allow with nothing left to take.

    Args:
        effect: the answer.
        code: stable code of the main reason (`policy.allowed`, `policy.denied`, `throttle.empty` …).
        policy_digest: `sha256:` and hex of the policy document that decided.
        rules: names of every true applicable rule, in document order, whatever its effect.
        reasons: the grounds, the deciding ones first.
        wants: what people must still give (only with `require_approval`).
        takes: what must be taken before an allow holds.
        obligations: what binds; only narrows.
        advice: best effort notes to the host, `{"notify": ("sre",)}`.
        retry_after: with `throttle`, how long to wait.
    """

    # Three fields and no converter, so that the engine can make one in a tenth of a microsecond: see `ruled`.
    _ruling: Ruling
    takes: tuple[Take, ...]
    _facts: Any

    def __init__(
        self,
        effect: Effect,
        code: str,
        policy_digest: str,
        rules: Sequence[str] = (),
        reasons: Sequence[Reason] = (),
        wants: Sequence[Want] = (),
        takes: Sequence[Take] = (),
        obligations: Obligations = Obligations(),  # frozen
        advice: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
        retry_after: timedelta | None = None,
    ) -> None:
        ruling = Ruling(effect, code, policy_digest, rules, reasons, wants, obligations, advice, retry_after)
        self.__attrs_init__(ruling, tuple(takes), None)

    @property
    def effect(self) -> Effect:
        return self._ruling.effect

    @property
    def code(self) -> str:
        return self._ruling.code

    @property
    def policy_digest(self) -> str:
        return self._ruling.policy_digest

    @property
    def rules(self) -> tuple[str, ...]:
        return self._ruling.rules

    @property
    def reasons(self) -> tuple[Reason, ...]:
        return self._ruling.reasons

    @property
    def wants(self) -> tuple[Want, ...]:
        return self._ruling.wants

    @property
    def obligations(self) -> Obligations:
        return self._ruling.obligations

    @property
    def advice(self) -> Mapping[str, tuple[str, ...]]:
        return self._ruling.advice

    @property
    def retry_after(self) -> timedelta | None:
        return self._ruling.retry_after

    @property
    def allowed(self) -> bool:
        """True only when the effect is allow and nothing is left to take."""
        return self._ruling.effect is Effect.ALLOW and not self.takes

    def __bool__(self) -> bool:
        raise TypeError("a Decision is neither true nor false: ask decision.allowed")

    @override
    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Decision):
            return NotImplemented
        return self._ruling == other._ruling and self.takes == other.takes

    __hash__ = None  # type: ignore[assignment]  # advice is a mapping

    @override
    def __repr__(self) -> str:
        return f"Decision({self.effect.value!r}, {self.code!r}, rules={self.rules!r}, takes={self.takes!r})"

    def __copy__(self) -> Decision:
        return self

    def __deepcopy__(self, _memo: object) -> Decision:
        return self

    @override
    def __reduce__(self) -> tuple[Any, ...]:
        """What it says, to be read back elsewhere; who could explain it (the policy, the facts) stays behind."""
        values = {each.name: getattr(self, each.name) for each in fields(Decision)}
        return _read_back, ({**values, "advice": dict(self.advice)},)

    def explain(self) -> str:
        """Why, in words: each rule with the values it saw, and what is missing for a yes.

        Of a decision that no rule made (or that was read back from somewhere) the reasons are all there is. A plain
        dict of facts is read again for this: who changes it after the decision gets its explanation as it is now.
        """
        ruling = self._ruling
        if ruling.before is not None:
            return f"{ruling.before.explain()}\n{ruling.note}"
        if ruling.explainer is not None:
            return ruling.explainer(self._facts).to_text()
        reasons = (f"  because {reason.message}" for reason in ruling.reasons)
        return "\n".join((f"{ruling.effect.value} ({ruling.code})", *reasons))

    def _repr_html_(self) -> str:
        from html import escape  # for notebooks alone

        ruling = self._ruling
        if ruling.before is not None:
            return f"{ruling.before._repr_html_()}<p>{escape(ruling.note)}</p>"
        if ruling.explainer is not None:
            return ruling.explainer(self._facts)._repr_html_()
        return f"<pre>{escape(self.explain())}</pre>"

    def _repr_markdown_(self) -> str | None:
        ruling = self._ruling
        if ruling.before is not None or ruling.explainer is None:
            return None
        return ruling.explainer(self._facts)._repr_markdown_()

    def changed(self, note: str, **changes: Any) -> Decision:
        """What became of this decision after the policy: other fields, nothing to take, and why in a sentence."""
        return ruled(evolve(self._ruling, before=self, note=note, **changes), (), self._facts)

    def by(self, policy_digest: str) -> Decision:
        """The same decision in another policy's name, to see whether that would have made any difference."""
        return ruled(evolve(self._ruling, policy_digest=policy_digest), self.takes, self._facts)

    def refused(self, code: str, message: str) -> Decision:
        """This decision turned into a deny by something after the policy, which comes first in the reasons."""
        return self.changed(
            f"But {message} ({code}), so the answer is {Effect.DENY}.",
            effect=Effect.DENY,
            code=code,
            reasons=(Reason(code, message), *self.reasons),
            wants=(),
            retry_after=None,
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


def _read_back(values: dict[str, Any]) -> Decision:
    return Decision(**values)


_SAID: Final = (
    "effect",
    "code",
    "policy_digest",
    "rules",
    "reasons",
    "wants",
    "takes",
    "obligations",
    "advice",
    "retry_after",
)
# To attrs the fields are those that `__init__` takes, wherever they are kept: `evolve` and `asdict` go by them.
Decision.__attrs_attrs__ = fields(make_class("Decision", list(_SAID)))

_new: Final = object.__new__
_put_ruling: Final = Decision.__dict__["_ruling"].__set__
_put_takes: Final = Decision.__dict__["takes"].__set__
_put_facts: Final = Decision.__dict__["_facts"].__set__


def ruled(ruling: Ruling, takes: tuple[Take, ...], facts: Any) -> Decision:
    """The decision that a ruling and these takes are; `facts` are what an explanation is told from.

    It fills the slots itself: that takes a third of the time that a frozen class's own `__init__` does.
    """
    decision = _new(Decision)
    _put_ruling(decision, ruling)
    _put_takes(decision, takes)
    _put_facts(decision, facts)
    return decision


def denied(code: str, message: str, *, policy_digest: str = "") -> Decision:
    """A deny that no rule gave: an error, a stop, a missing fact."""
    return Decision(Effect.DENY, code, policy_digest, reasons=(Reason(code, message),))
