"""Did this key sign exactly these bytes? Nothing but the key record says how to find out."""

from __future__ import annotations

from collections.abc import Callable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from cigate.signing import edwards
from cigate.signing.keys import KeyRecord
from cigate.signing.material import SignatureEncoding, parsed

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

_NOT_A_SIGNATURE = (1, 1)


def verify_signature(record: KeyRecord, message: bytes, signature: bytes) -> bool:
    """Whether the key of this record signed these bytes, in the encoding that the record names.

    DER must be canonical, raw must be exactly 64 bytes, numbers must be in range (FIPS 186-5, RFC 8032
    section 5.1.7). A P-256 signature with the other s is as good: uniqueness never rests on a signature.
    """
    key = parsed(record.public_key)
    if isinstance(key, Ed25519PublicKey):
        in_range = len(signature) == 64 and int.from_bytes(signature[32:], "little") < edwards.ORDER
        return in_range and _verifies(lambda: key.verify(signature, message))
    numbers = _raw(signature) if record.encoding is SignatureEncoding.RAW else _der(signature)
    # A malformed signature costs as much as a wrong one, so that time tells nothing (threats A19).
    canonical = encode_dss_signature(*(numbers or _NOT_A_SIGNATURE))
    good = _verifies(lambda: key.verify(canonical, message, ECDSA(SHA256())))
    return good and numbers is not None


def _verifies(verify: Callable[[], None]) -> bool:
    try:
        verify()
    except InvalidSignature:
        return False
    return True


def _raw(signature: bytes) -> tuple[int, int] | None:
    if len(signature) != 64:
        return None
    return _in_range(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))


def _der(signature: bytes) -> tuple[int, int] | None:
    try:
        r, s = decode_dss_signature(signature)
    except ValueError:
        return None
    numbers = _in_range(r, s)
    return numbers if numbers and encode_dss_signature(r, s) == signature else None


def _in_range(r: int, s: int) -> tuple[int, int] | None:
    return (r, s) if 0 < r < P256_ORDER and 0 < s < P256_ORDER else None
