"""What a run costs, in whole minor units of the budget's currency: before it (the worst case), and after it.

Minutes count from the first second of each. A run that ends within its timeout never costs more than was
estimated, so a reservation of the estimate is always enough (threats G1).
"""

from __future__ import annotations

from datetime import timedelta

from cigate.action import Price

_MINUTE = timedelta(minutes=1)


def estimate(price: Price | None, timeout: timedelta) -> int:
    """The most that a run may cost, in minor units: it runs until `timeout`. No price: nothing."""
    return actual(price, timeout)


def actual(price: Price | None, duration: timedelta) -> int:
    """What a run of this duration cost, in minor units: `per_run`, and `per_minute` for each minute begun.

    A duration below zero (a clock set back while it ran) counts as no minute.
    """
    if price is None:
        return 0
    minutes = -(-max(duration, timedelta(0)) // _MINUTE)
    return price.per_run + price.per_minute * minutes
