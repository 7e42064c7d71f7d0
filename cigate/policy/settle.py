"""The final decision, once the controls have said whether what it names could be taken."""

from __future__ import annotations

from typing import Final

from cigate.decision import Decision, Effect, Quorum, Reason, Reservation, Take, Taken, Token
from cigate.wire.times import seconds

_REFUSED: Final[dict[type[Take], tuple[Effect, str, str]]] = {
    Quorum: (Effect.DENY, "approval.spent", "the approvals were used already"),
    Reservation: (Effect.DENY, "budget.exhausted", "the budget has not that much left"),
    Token: (Effect.THROTTLE, "throttle.empty", "the bucket is empty"),
}


def settle(decision: Decision, taken: Taken) -> Decision:
    """What a decision comes to. Pure: replay needs the decision and what was taken, and no state.

    A decision that is not an allow asked for nothing and comes back unchanged. With all of it taken an
    allow holds.
    Controls take all or nothing: what is refused decides, a quorum or the budget as a deny, a token as a
    throttle. It is the only ground: why a rule would have allowed is none for the answer that it did not.

    Args:
        decision: what `decide` gave.
        taken: what the controls answered about its `takes`.
    """
    if decision.effect is not Effect.ALLOW:
        return decision
    if taken.refused is None:
        return decision.changed("All that it names was taken: allowed.")
    effect, usual, words = _REFUSED[type(taken.refused)]
    code = taken.code or usual
    message = taken.message or words
    rule = "" if isinstance(taken.refused, Reservation) else taken.refused.rule
    said = taken.refused.message if isinstance(taken.refused, Token) else ""
    retry = taken.retry_after if effect is Effect.THROTTLE else None
    wait = f" A token is there in {seconds(retry)}." if retry is not None else ""
    return decision.changed(
        f"It could not be taken: {message} ({code}), so the answer is {effect}.{wait}",
        effect=effect,
        code=code,
        reasons=(Reason(code, said or message, rule),),
        retry_after=retry,
    )
