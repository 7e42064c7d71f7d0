"""Money: whole minor units of one currency."""

from __future__ import annotations

from typing import Any

import pytest

from cigate.errors import ConfigError
from cigate.money import MOST_MINOR_UNITS, Money


@pytest.mark.parametrize("minor", [-1, MOST_MINOR_UNITS + 1, 1.0, True, "1", None, float("nan")])
def test_an_amount_is_a_whole_number_that_is_not_negative(minor: Any) -> None:
    with pytest.raises(ConfigError, match=r"money\.amount"):
        Money(minor, "EUR")


@pytest.mark.parametrize("currency", ["", "eur", "EU", "EURO", "EUR\n", "€", 978, None, "ＥＵＲ"])
def test_a_currency_is_three_capitals(currency: Any) -> None:
    with pytest.raises(ConfigError, match=r"money\.currency"):
        Money(1, currency)


def test_sums_stay_in_one_currency_and_within_bounds() -> None:
    assert Money(1, "EUR") + Money(2, "EUR") == Money(3, "EUR")
    with pytest.raises(ConfigError, match=r"money\.mixed"):
        Money(1, "EUR") + Money(1, "USD")
    with pytest.raises(ConfigError, match=r"money\.amount"):
        Money(MOST_MINOR_UNITS, "EUR") + Money(1, "EUR")


@pytest.mark.parametrize(
    ("money", "text"),
    [
        (Money(2500, "EUR"), "25.00 EUR"),
        (Money(7, "USD"), "0.07 USD"),
        (Money(2500, "JPY"), "2500 JPY"),
        (Money(2500, "KWD"), "2.500 KWD"),
    ],
)
def test_money_is_written_with_its_currencys_decimals(money: Money, text: str) -> None:
    assert str(money) == text
