"""Facts: what we know of the asker, put into one document before anything is decided.

All reading of clocks and stores happens before this; the document that leaves is the only thing that the
policy sees, and the ledger keeps it whole, so that every decision can be replayed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from cigate.action import Action
from cigate.attestation import Attestation
from cigate.config import Loaded
from cigate.controls import Budget, history, remaining
from cigate.cost import estimate
from cigate.facts import Facts
from cigate.inventory import agent_facts, device_facts, user_facts
from cigate.request import DeviceId, UserId
from cigate.stores import Rows

NO_CURRENCY: Final = "XXX"
"""ISO 4217's code for no currency: what an action's price is in when its asker's team has no budget."""


def collect(
    attestation: Attestation,
    action: Action,
    parameters: Mapping[str, bool | int | str],
    *,
    loaded: Loaded,
    isolation: str,
    rows: Rows,
    approvals: Sequence[Mapping[str, Any]],
    now: datetime,
) -> Facts:
    """Everything that is known, with the risk scored over it.

    Args:
        parameters: already checked against the action's schema.
        isolation: what the action's pipeline gives its runs.
        rows: a snapshot with the asker's history and its team's budget.
        approvals: who approved: `user`, `roles` as of today, `at`.

    Raises:
        FactsError: a provider gave a fact of a wrong type.
    """
    request, key = attestation.request, attestation.key
    user = loaded.inventory.user(request.user_id)
    device = DeviceId(key.device) if key.device else None
    budget = budget_of(loaded, request.user_id)
    document: dict[str, Any] = {
        "now": now,
        "action": request.action,
        "commit": request.commit,
        "parameters": dict(parameters),
        **agent_facts(
            loaded.inventory.agent(request.agent_id), request.agent_id, request.agent_version, "claimed"
        ),
        **user_facts(user, request.user_id),
        "attestation": {
            "format": attestation.format,
            "level": attestation.level,
            "age": attestation.age(now),
            "chain": list(attestation.chain),
        },
        "cost": {
            "estimate": estimate(action.cost, action.timeout),
            "currency": budget.limit.currency if budget else NO_CURRENCY,
        },
        "history": history(rows, request.agent_id, now),
        "runner": {"isolation": isolation, "blast_radius": blast_radius(action, isolation)},
        "approvals": [dict(approval) for approval in approvals],
    }
    if request.purpose is not None:
        document["purpose"] = request.purpose
    if device is not None:
        record = loaded.inventory.device(device)
        document |= device_facts(record, device, now, loaded.posture_max_age)
    if budget is not None:
        left = remaining(rows, budget, now)
        document["budget"] = {"remaining": left, "currency": budget.limit.currency, "as_of": now}
    facts = Facts.of(document)
    return facts.including("risk", {**loaded.risk.score(facts).to_facts(), "as_of": now})


def budget_of(loaded: Loaded, user: UserId) -> Budget | None:
    """The budget that a user's runs are charged to: its team's, if that has one."""
    record = loaded.inventory.user(user)
    return loaded.budgets.get(record.team) if record is not None and record.team else None


def blast_radius(action: Action, isolation: str) -> str:
    """How far a run of this action can reach: it holds a credential, it is not isolated, or neither."""
    if isolation != "sandbox":
        return "high"
    return "medium" if action.credential is not None else "low"
