"""What came of one request, for the host that called and for the stranger who asked.

The value is the host's; `to_json` is what a stranger may see: a code, never a reason, and of the run
only what the action's `output` gives out.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from attrs import evolve, field, frozen

from cigate.controls import HeldTicket, State
from cigate.decision import Decision, DecisionId, Effect, denied
from cigate.money import Money
from cigate.pipelines import Run
from cigate.ticket import Ticket
from cigate.wire.times import seconds, timestamp

_EXIT_CODE = {Effect.DENY: 10, Effect.REQUIRE_APPROVAL: 11, Effect.THROTTLE: 12}
_BAD_INPUT = 2
_NOT_ABLE = 3


@frozen
class Outcome:
    """What came of one request. `bool(outcome)` raises: ask `.allowed`, or `.exit_code`.

    Args:
        decision: the settled decision, with its reasons. For the host; strangers get the code.
        code: the stable code that strangers may see; `run.*` once something ran.
        decision_id: names the decision in the ledger; None for what was refused before a signature verified.
        run: what ran, reduced to what the action's `output` gives out; None if nothing ran.
        ticket: with `require_approval`, what people are asked.
        cost: what was charged; None if nothing was.
        receipt: signed proof, canonical JSON, that this decision is in the ledger.
        output: how much of the run the caller gets: `none`, `status` or `full`.
    """

    decision: Decision
    code: str
    decision_id: DecisionId | None = None
    run: Run | None = None
    ticket: Ticket | None = None
    cost: Money | None = None
    receipt: bytes | None = field(default=None, repr=False)
    output: str = "status"

    @property
    def effect(self) -> Effect:
        return self.decision.effect

    @property
    def allowed(self) -> bool:
        """True only when the decision was allow and nothing was left to take. The run may still have failed."""
        return self.decision.allowed

    @property
    def retry_after(self) -> timedelta | None:
        """With `throttle`: how long to wait."""
        return self.decision.retry_after

    def __bool__(self) -> bool:
        raise TypeError("an Outcome is neither true nor false: ask outcome.allowed or outcome.exit_code")

    @property
    def exit_code(self) -> int:
        """0 allowed and the run succeeded (or still runs), 1 allowed and it did not, 2 bad input, 3 the gateway could
        not work, 10 denied, 11 approval required, 12 throttled."""
        if self.allowed:
            return 0 if self.code in ("run.succeeded", "run.started") else 1
        if self.effect is Effect.DENY and self.code.startswith("request."):
            return _BAD_INPUT
        if self.effect is Effect.DENY and self.code.startswith("gateway."):
            return _NOT_ABLE
        return _EXIT_CODE.get(self.effect, 1)

    def to_json(self) -> dict[str, Any]:
        """Exactly what the command line prints; safe to hand to whoever asked."""
        shown: dict[str, Any] = {
            "effect": self.effect.value,
            "code": self.code,
            "decision_id": self.decision_id,
        }
        if self.ticket is not None:
            shown["ticket"] = self.ticket.id
        if self.retry_after is not None:
            shown["retry_after"] = -(-self.retry_after // timedelta(seconds=1))
        if self.cost is not None:
            shown["cost"] = {"amount": self.cost.minor, "currency": self.cost.currency}
        if self.run is not None:
            shown["run"] = {"id": self.run.id}
            if self.output != "none":
                shown["run"]["state"] = self.run.state.value
                shown["run"]["exit_code"] = self.run.exit_code
                if self.run.ended is not None:
                    shown["run"]["duration"] = seconds(self.run.ended - self.run.started)
            if self.output == "full":
                shown["run"]["output"] = self.run.output.decode("utf-8", "replace")
        return shown


def given_out(run: Run, output: str) -> Run:
    """The run as a caller may hold it: without its output unless the action says `full`."""
    if output == "full":
        return run
    if output == "status":
        return evolve(run, output=b"", note="")
    return evolve(run, output=b"", note="", exit_code=None)


def refusal(code: str, message: str, *, outward: str | None = None) -> Outcome:
    """A refusal that no policy decided: malformed, unattested, replayed, or a gateway that could not work."""
    return Outcome(denied(code, message), code=outward or code)


@frozen
class TicketStatus:
    """A held request as it stands: what is asked, and who has answered.

    Args:
        state: `pending`, `redeemed`, `rejected`, `void` or `expired`.
        answers: for each person who answered: `user`, `verdict`, `at`.
        redeemed_by: the decision that the approvals opened.
    """

    ticket: Ticket
    state: str
    answers: tuple[Mapping[str, Any], ...] = ()
    redeemed_by: str | None = None

    @classmethod
    def of(cls, held: HeldTicket, now: datetime) -> TicketStatus:
        """A held request as it stands now."""
        state = "expired" if held.state is State.PENDING and now >= held.ticket.expires else held.state.value
        answers = tuple(
            {"user": given.user, "verdict": given.verdict, "at": timestamp(given.at)}
            for given in held.verdicts
        )
        return cls(held.ticket, state, answers, held.redeemed_by)

    def to_json(self) -> dict[str, Any]:
        """What `status TICKET` prints: the canonical fields, the summary that is signed, and its digest."""
        return {
            **self.ticket.to_json(),
            "state": self.state,
            "answers": [dict(answer) for answer in self.answers],
            "redeemed_by": self.redeemed_by,
            "summary": self.ticket.summary(),
            "digest": self.ticket.digest,
        }


@frozen
class RunStatus:
    """A decision as it stands, for operators.

    Args:
        record: what the gateway keeps of it: `state`, `effect`, `code`, `reasons`, `action`, `agent`, `user`, and
            `outcome` once it is concluded.
        output: what the job printed, capped, with the literal secret scrubbed; None if nothing is kept.
    """

    decision_id: DecisionId
    record: Mapping[str, Any]
    output: bytes | None = field(default=None, repr=False)

    def to_json(self) -> dict[str, Any]:
        return {"decision_id": self.decision_id, **self.record}
