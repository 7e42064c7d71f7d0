"""Where each peer departs from the language in kind, by the shortest example; tests hold each against the peer.

cel-python's are in `cigate.cel.defects`, for a policy's author is told them too.
"""

from __future__ import annotations

from attrs import frozen

from tests.oracles.engines import GOOGLE, RUST, Engine


@frozen
class Difference:
    """One departure of one peer: what it does otherwise, and an example without facts."""

    engine: Engine
    what: str
    expression: str


DIFFERENCES = (
    Difference(GOOGLE, "optionals are an extension that is off as it comes", "optional.of(1).hasValue()"),
    Difference(GOOGLE, "so are strings, math, encoders and bindings", "math.greatest(1, 2)"),
    Difference(GOOGLE, "there are no macros of two variables", "[1, 2].all(i, v, i < v)"),
    Difference(GOOGLE, "an expression nests 32 deep", "(" * 40 + "1" + ")" * 40),
    Difference(RUST, "there is no `int` of a timestamp, nor `string` of a bool", "string(true)"),
    Difference(RUST, "`size` of a string counts octets, not code points", "size('é')"),
    Difference(RUST, "the negative of the least integer is itself", "-(-9223372036854775807 - 1)"),
    Difference(RUST, "an order with NaN is an error, not false", "0.0 / 0.0 < 1.0"),
    Difference(RUST, "getters take no time zone", "timestamp('2026-01-01T00:00:00Z').getHours('+02:00')"),
    Difference(RUST, "`getMilliseconds` of a duration is all of it", "duration('1500ms').getMilliseconds()"),
    Difference(RUST, "octets that are no UTF-8 become a string", "string(b'\\xff')"),
    Difference(RUST, "a list and a map add up", "[1] + {'a': 1}"),
    Difference(RUST, "a duration beyond 292 years is cut short", "duration('10000000000s')"),
    Difference(RUST, "there are no extensions but optionals", "math.greatest(1, 2)"),
    Difference(RUST, "there are no macros of two variables", "[1, 2].all(i, v, i < v)"),
)
