"""Is this Ed25519 public key a point that can carry a signature? Arithmetic modulo p, for enrolment only.

Under a key of low order one signature fits many messages, and a point written in two ways is one key under
two thumbprints; common libraries accept both (threats A11). So a point must be written canonically, lie on
the curve, and be in the subgroup of prime order, where every honestly made key is. Nothing here is secret,
so nothing here is constant-time. RFC 8032, sections 5.1.2 to 5.1.4.
"""

from __future__ import annotations

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
"""L, the order of the base point's subgroup."""

_D = -121665 * pow(121666, -1, P) % P
_ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)

_Point = tuple[int, int, int]
_IDENTITY: _Point = (0, 1, 1)


def flaw(encoded: bytes) -> str:
    """What is wrong with this encoded point as a public key, in words; empty when nothing is."""
    if len(encoded) != 32:
        return "it is not 32 bytes long"
    number = int.from_bytes(encoded, "little")
    y, odd = number & (2**255 - 1), number >> 255
    if y >= P:
        return "its y coordinate is not below p: the encoding is not canonical"
    x = _x(y, odd)
    if x is None:
        return "it is not a point of the curve in canonical encoding"
    point = (x, y, 1)
    if _is_identity(_multiply(8, point)):
        return "it is a point of low order"
    if not _is_identity(_multiply(ORDER, point)):
        return "it is outside the subgroup of prime order"
    return ""


def _x(y: int, odd: int) -> int | None:
    square = (y * y - 1) * pow(_D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * _ROOT_OF_MINUS_ONE % P
    if x * x % P != square or (x == 0 and odd):
        return None
    return x if x & 1 == odd else P - x


def _multiply(scalar: int, point: _Point) -> _Point:
    total = _IDENTITY
    for bit in bin(scalar)[2:]:
        total = _add(total, total)
        if bit == "1":
            total = _add(total, point)
    return total


def _add(left: _Point, right: _Point) -> _Point:
    """The complete addition law in projective coordinates: no case is special, so none can be forgotten."""
    x1, y1, z1 = left
    x2, y2, z2 = right
    a = z1 * z2 % P
    b = a * a % P
    c = x1 * x2 % P
    d = y1 * y2 % P
    e = _D * c * d % P
    f, g = b - e, b + e
    return (
        a * f * ((x1 + y1) * (x2 + y2) - c - d) % P,
        a * g * (d + c) % P,
        f * g % P,
    )


def _is_identity(point: _Point) -> bool:
    x, y, z = point
    return x == 0 and y == z
