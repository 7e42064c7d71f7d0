"""What must be unique or bounded: nonces, approvals, budgets, throttles, stops; and the clock and history.

Each control is pure: rows come in, writes go out (or a typed refusal), and whoever holds a store runs them
in one transaction. The functions named `..._keys` say which rows must be among those read; a row that was
not read looks like one that is not there. What must always hold: whatever runs beside it, a nonce and a
ticket are used once, a budget is never overspent, no window sees more than its limit, a stop stops.
"""

from cigate.controls.approvals import (
    RACED,
    HeldTicket,
    State,
    Verdict,
    ask_digest,
    ask_keys,
    distinct_people,
    open_ticket,
    read_ticket,
    record_verdict,
    redeem,
    ticket_keys,
    void_tickets,
)
from cigate.controls.budgets import (
    PERIODS,
    Budget,
    budget_keys,
    budget_keys_of,
    budget_row,
    commit_budget,
    release_budget,
    remaining,
    reserve_budget,
)
from cigate.controls.clock import CLOCK, advance, check_clock
from cigate.controls.history import history, history_keys, record_history
from cigate.controls.nonces import is_spent, nonce_keys, spend_nonce
from cigate.controls.stops import (
    FENCE,
    Fence,
    Scope,
    Stop,
    fence_put,
    halted,
    loaded,
    read_fence,
    resumed,
    revoked,
)
from cigate.controls.takes import take, take_keys
from cigate.controls.throttles import Drawn, draw, throttle_key

__all__ = [
    "CLOCK",
    "FENCE",
    "PERIODS",
    "RACED",
    "Budget",
    "Drawn",
    "Fence",
    "HeldTicket",
    "Scope",
    "State",
    "Stop",
    "Verdict",
    "advance",
    "ask_digest",
    "ask_keys",
    "budget_keys",
    "budget_keys_of",
    "budget_row",
    "check_clock",
    "commit_budget",
    "distinct_people",
    "draw",
    "fence_put",
    "halted",
    "history",
    "history_keys",
    "is_spent",
    "loaded",
    "nonce_keys",
    "open_ticket",
    "read_fence",
    "read_ticket",
    "record_history",
    "record_verdict",
    "redeem",
    "release_budget",
    "remaining",
    "reserve_budget",
    "resumed",
    "revoked",
    "spend_nonce",
    "take",
    "take_keys",
    "throttle_key",
    "ticket_keys",
    "void_tickets",
]
