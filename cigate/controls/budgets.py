"""Money that a team may spend in a period: reserved before a run, committed or released after it (threats G).

What must always hold: when a reservation is made, committed + reserved <= limit. A run that cost more than
was reserved for it is committed in full all the same, and suspends the budget until its period ends: an
estimate that can't be trusted is not trusted again. A reservation has no expiry: one whose run is unknown
keeps what it reserved until somebody settles it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias

from attrs import evolve, field, frozen

from cigate.controls.records import record, recorded, unreadable
from cigate.decision import DecisionId
from cigate.errors import BackendError, ConfigError, RequestError
from cigate.money import MOST_MINOR_UNITS, Money
from cigate.stores import Key, Put, Rows

Period: TypeAlias = Literal["day", "week", "month", "year", "total"]


def _week(now: datetime) -> str:
    year, week, _ = now.isocalendar()
    return f"{year:04}-W{week:02}"


_PERIODS: Final[Mapping[str, Callable[[datetime], str]]] = {
    "day": lambda now: f"{now:%Y-%m-%d}",
    "week": _week,
    "month": lambda now: f"{now:%Y-%m}",
    "year": lambda now: f"{now:%Y}",
    "total": lambda now: "total",
}

PERIODS: Final = tuple(_PERIODS)
"""The periods that a budget can have."""


def _known(_: object, __: object, period: str) -> None:
    if period not in _PERIODS:
        raise ConfigError("budget.period", f"{period!r} is not one of {', '.join(_PERIODS)}")


@frozen
class Budget:
    """What a team may spend: `limit` in each `period` (days, ISO weeks, months and years of UTC), or in all.

    Raises:
        ConfigError: `budget.period`.
    """

    team: str
    limit: Money
    period: Period = field(validator=_known)


@frozen
class _Spent:
    """A budget's row for one period."""

    currency: str
    committed: int = 0
    reserved: int = 0
    overrun: bool = False


@frozen
class _Reserved:
    """A reservation's row: from which budget row, how much, and what became of it."""

    budget: Key
    amount: int
    state: str
    actual: int = 0


def budget_row(budget: Budget, now: datetime) -> str:
    """The id of the budget's row for the period that `now` is in."""
    return f"{budget.team}/{_PERIODS[budget.period](now.astimezone(UTC))}"


def budget_keys(budget: Budget, now: datetime) -> frozenset[Key]:
    """The rows that `remaining` must see."""
    return frozenset({Key("budget", budget_row(budget, now))})


def budget_keys_of(decision_id: DecisionId, row: str) -> frozenset[Key]:
    """The rows that reserving, committing and releasing must see.

    Args:
        decision_id: whose reservation it is.
        row: the `budget_row` that it was made from; its period may be over by the time it is settled.
    """
    return frozenset({_reservation_key(decision_id), Key("budget", row)})


def remaining(rows: Rows, budget: Budget, now: datetime) -> int:
    """What can still be reserved, in minor units of the limit's currency; 0 once an overrun suspended it.

    Raises:
        RequestError: `budget.currency`.
    """
    spent = _spent(rows, Key("budget", budget_row(budget, now)), budget.limit.currency)
    return 0 if spent.overrun else max(budget.limit.minor - spent.committed - spent.reserved, 0)


def reserve_budget(
    rows: Rows, budget: Budget, decision_id: DecisionId, amount: Money, now: datetime
) -> Mapping[Key, Put]:
    """The writes that reserve an amount for a decision; none if it is reserved already.

    Raises:
        RequestError: `budget.exhausted`, `budget.suspended`, `budget.currency`, `budget.amount`, or
            `budget.settled`: this decision's reservation was made otherwise, or is settled already.
    """
    key = Key("budget", budget_row(budget, now))
    before = _reservation(rows, decision_id)
    if before is not None:
        if before == _Reserved(key, amount.minor, "reserved"):
            return {}
        raise RequestError("budget.settled", f"decision {decision_id} has a reservation already")
    if amount.minor < 1:
        raise RequestError("budget.amount", "nothing can't be reserved")
    if amount.currency != budget.limit.currency:
        raise _mixed(amount.currency, budget.limit.currency)
    spent = _spent(rows, key, budget.limit.currency)
    if spent.overrun:
        raise RequestError("budget.suspended", f"a run cost more than was reserved from {key.id}")
    if spent.committed + spent.reserved + amount.minor > budget.limit.minor:
        left = Money(remaining(rows, budget, now), spent.currency)
        raise RequestError("budget.exhausted", f"{amount} is more than the {left} that is left of {key.id}")
    return {
        key: _budget_put(evolve(spent, reserved=spent.reserved + amount.minor)),
        _reservation_key(decision_id): _reservation_put(_Reserved(key, amount.minor, "reserved")),
    }


def commit_budget(rows: Rows, decision_id: DecisionId, actual: Money | None = None) -> Mapping[Key, Put]:
    """The writes that turn a reservation into what its run cost; none if that was done before.

    Args:
        actual: what it cost, if that is known; else what was reserved for it.

    Raises:
        BackendError: `budget.no-reservation`, `budget.settled` (it was released, or committed otherwise).
        RequestError: `budget.currency`.
    """
    found = _reservation(rows, decision_id)
    if found is None:
        raise BackendError("budget.no-reservation", f"nothing was reserved for decision {decision_id}")
    cost = actual.minor if actual is not None else found.amount
    if found.state != "reserved":
        if (found.state, found.actual) == ("committed", cost):
            return {}
        raise _settled_already(decision_id, found)
    spent = _reserved_from(rows, found)
    if actual is not None and actual.currency != spent.currency:
        raise _mixed(actual.currency, spent.currency)
    after = evolve(
        spent,
        reserved=spent.reserved - found.amount,
        committed=min(spent.committed + cost, MOST_MINOR_UNITS),
        overrun=spent.overrun or cost > found.amount,
    )
    settled = evolve(found, state="committed", actual=cost)
    return {found.budget: _budget_put(after), _reservation_key(decision_id): _reservation_put(settled)}


def release_budget(rows: Rows, decision_id: DecisionId) -> Mapping[Key, Put]:
    """The writes that give a reservation back because its run never started; none if there is none.

    Raises:
        BackendError: `budget.settled`, it was committed.
    """
    found = _reservation(rows, decision_id)
    if found is None or found.state == "released":
        return {}
    if found.state != "reserved":
        raise _settled_already(decision_id, found)
    spent = _reserved_from(rows, found)
    return {
        found.budget: _budget_put(evolve(spent, reserved=spent.reserved - found.amount)),
        _reservation_key(decision_id): _reservation_put(evolve(found, state="released")),
    }


def _reservation_key(decision_id: DecisionId) -> Key:
    return Key("reservation", decision_id)


def _settled_already(decision_id: DecisionId, found: _Reserved) -> BackendError:
    return BackendError("budget.settled", f"the reservation of {decision_id} is {found.state} already")


def _mixed(given: str, wanted: str) -> RequestError:
    return RequestError("budget.currency", f"the amount is in {given}, the budget in {wanted}")


def _reserved_from(rows: Rows, found: _Reserved) -> _Spent:
    document = recorded(rows, found.budget)
    if document is None:  # gone, or not among the keys: either way the sum would be wrong
        raise unreadable(found.budget, "a reservation names it, but it is not there")
    spent = _spent(rows, found.budget, document.get("currency"))
    if spent.reserved < found.amount:
        raise unreadable(found.budget, "less is reserved in it than a reservation says")
    return spent


def _spent(rows: Rows, key: Key, currency: Any) -> _Spent:
    document = recorded(rows, key)
    if document is None:
        return _Spent(currency)
    try:
        spent = _Spent(**document)
    except TypeError as error:
        raise unreadable(key, error) from error
    amounts = (spent.committed, spent.reserved)
    if not all(type(amount) is int and amount >= 0 for amount in amounts) or type(spent.overrun) is not bool:
        raise unreadable(key, "its amounts are not whole numbers")
    if spent.currency != currency:
        raise _mixed(str(currency), spent.currency)
    return spent


def _budget_put(spent: _Spent) -> Put:
    return record(
        {
            "currency": spent.currency,
            "committed": spent.committed,
            "reserved": spent.reserved,
            "overrun": spent.overrun,
        }
    )


def _reservation(rows: Rows, decision_id: DecisionId) -> _Reserved | None:
    key = _reservation_key(decision_id)
    document = recorded(rows, key)
    if document is None:
        return None
    try:
        found = _Reserved(
            Key("budget", document["budget"]), document["amount"], document["state"], document["actual"]
        )
    except KeyError as error:
        raise unreadable(key, f"it has no {error}") from error
    if type(found.amount) is not int or type(found.actual) is not int or not isinstance(found.budget.id, str):
        raise unreadable(key, "its amounts are not whole numbers")
    if found.state not in ("reserved", "committed", "released"):
        raise unreadable(key, f"its state is {found.state!r}")
    return found


def _reservation_put(reserved: _Reserved) -> Put:
    return record(
        {
            "budget": reserved.budget.id,
            "amount": reserved.amount,
            "state": reserved.state,
            "actual": reserved.actual,
        }
    )
