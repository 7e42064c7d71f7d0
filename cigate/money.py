"""Money is a whole number of minor units in one currency; it is never a float.

`Money(2500, "EUR")` is twenty-five euros. Sums of two currencies are a mistake and raise.
"""

from __future__ import annotations

import re
from typing import Any, Final

from attrs import field, frozen
from typing_extensions import override

from cigate.errors import ConfigError

MOST_MINOR_UNITS: Final = 2**53 - 1
_CURRENCY = re.compile(r"[A-Z]{3}")
# ISO 4217: the minor unit is a hundredth, but in these
_WHOLE: Final = re.compile("BIF|CLP|DJF|GNF|ISK|JPY|KMF|KRW|PYG|RWF|UGX|UYI|VND|VUV|XAF|XOF|XPF")
_THOUSANDTHS: Final = re.compile("BHD|IQD|JOD|KWD|LYD|OMR|TND")


def _amount(_: object, __: object, value: Any) -> None:
    if type(value) is not int or not 0 <= value <= MOST_MINOR_UNITS:
        raise ConfigError("money.amount", f"{value!r} is not a whole number of minor units from 0 to 2^53-1")


def _code(_: object, __: object, value: Any) -> None:
    if not isinstance(value, str) or _CURRENCY.fullmatch(value) is None:
        raise ConfigError("money.currency", f"{value!r} is not an ISO 4217 code such as EUR")


@frozen
class Money:
    """An amount.

    Args:
        minor: minor units (cents), 0 to 2^53-1.
        currency: ISO 4217 code, three capitals.

    Raises:
        ConfigError: `money.amount`, `money.currency`; adding two currencies raises `money.mixed`.
    """

    minor: int = field(validator=_amount)
    currency: str = field(validator=_code)

    def __add__(self, other: Money) -> Money:
        if other.currency != self.currency:
            raise ConfigError("money.mixed", f"{self.currency} and {other.currency} can't be added")
        return Money(self.minor + other.minor, self.currency)

    @override
    def __str__(self) -> str:
        if _WHOLE.fullmatch(self.currency):
            return f"{self.minor} {self.currency}"
        decimals = 3 if _THOUSANDTHS.fullmatch(self.currency) else 2
        whole, rest = divmod(self.minor, 10**decimals)
        return f"{whole}.{rest:0{decimals}d} {self.currency}"
