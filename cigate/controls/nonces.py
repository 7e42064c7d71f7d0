"""Each (key, jti) is accepted once (threats A3); their number is bounded by refusal, never by eviction (A4).

A nonce is kept until it can't be of use any more: to the end of the minute after the one in which its
signature expires, so that neither the boundary nor a clock that steps back a little re-opens it. Counters,
one for each key and one for all, hold how many end in which minute; they lapse with what they count.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from cigate.controls.records import micros, moment, record, recorded, unreadable
from cigate.errors import AttestationError
from cigate.stores import Key, Put, Rows

_MINUTE: Final = 60_000_000  # microseconds
_ALL: Final = "*"  # no thumbprint is spelt so


def nonce_keys(thumbprint: str, jti: str) -> frozenset[Key]:
    """The rows that `spend_nonce` and `is_spent` must see."""
    return frozenset({_nonce(thumbprint, jti), *_counters(thumbprint)})


def is_spent(rows: Rows, thumbprint: str, jti: str) -> bool:
    """Whether this key's nonce was spent before."""
    return _nonce(thumbprint, jti) in rows


def spend_nonce(
    rows: Rows,
    thumbprint: str,
    jti: str,
    *,
    expires: datetime,
    now: datetime,
    per_key: int = 1000,
    most: int = 100_000,
) -> Mapping[Key, Put]:
    """The writes that spend a nonce.

    Args:
        thumbprint: of the public key that signed; it has no `/`.
        expires: when the signature stops to be accepted, skew included.
        per_key: how many unexpired nonces one key may have.
        most: how many all keys may have together.

    Raises:
        AttestationError: `attestation.replayed`, `attestation.replay-store-full`.
    """
    if is_spent(rows, thumbprint, jti):
        raise AttestationError("attestation.replayed", f"nonce {jti!r} of key {thumbprint} was spent before")
    until = micros(expires) // _MINUTE + 2
    puts = {_nonce(thumbprint, jti): Put(b"{}", moment(until * _MINUTE))}
    for counter, limit in zip(_counters(thumbprint), (per_key, most), strict=True):
        minutes = _unexpired(rows, counter, now)
        if sum(minutes.values()) >= limit:
            raise AttestationError(
                "attestation.replay-store-full",
                f"{limit} unexpired nonces are kept for {'all keys' if counter.id == _ALL else 'this key'}",
                fix="send less often, or with shorter lifetimes",
            )
        minutes[until] = minutes.get(until, 0) + 1
        puts[counter] = record(
            {str(minute): number for minute, number in minutes.items()},
            expires=moment(max(minutes) * _MINUTE),
        )
    return puts


def _nonce(thumbprint: str, jti: str) -> Key:
    return Key("nonce", f"{thumbprint}/{jti}")


def _counters(thumbprint: str) -> tuple[Key, Key]:
    return Key("nonce-count", thumbprint), Key("nonce-count", _ALL)


def _unexpired(rows: Rows, counter: Key, now: datetime) -> dict[int, int]:
    found = recorded(rows, counter) or {}
    try:
        minutes = {int(minute): number for minute, number in found.items()}
    except ValueError as error:
        raise unreadable(counter, error) from error
    if not all(type(number) is int and number > 0 for number in minutes.values()):
        raise unreadable(counter, "a count is no positive number")
    return {minute: number for minute, number in minutes.items() if minute * _MINUTE > micros(now)}
