"""The public key itself: read strictly, checked for soundness, written in one way.

`parsed` is where every key of a record passes before it is used. What it makes is derived from the bytes
alone, so it may be cached, and forgotten.
"""

from __future__ import annotations

import hashlib
import threading
from enum import StrEnum

from cachetools import LRUCache, cached
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding as Format
from cryptography.hazmat.primitives.serialization import (
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
    load_pem_public_key,
)

from cigate.errors import ConfigError
from cigate.signing import edwards

PublicKey = EllipticCurvePublicKey | Ed25519PublicKey

LONGEST_KEY = 4096
_PEM_FIRST_LINE = b"-----BEGIN PUBLIC KEY-----"
_WANTED = (
    "hand in an ECDSA P-256 or Ed25519 public key, as `cigate keygen` or `openssl pkey -pubout` write it"
)


class Algorithm(StrEnum):
    """How a key signs. Nothing else is supported, so nothing else can be negotiated."""

    P256 = "ecdsa-p256-sha256"
    ED25519 = "ed25519"


class SignatureEncoding(StrEnum):
    """How signatures are written: ASN.1 DER, or raw (r || s of IEEE P1363; Ed25519 is always raw)."""

    DER = "der"
    RAW = "raw"


def algorithm_of(key: PublicKey) -> Algorithm:
    """The one algorithm that a key of this type is used with."""
    return Algorithm.ED25519 if isinstance(key, Ed25519PublicKey) else Algorithm.P256


def normalised(pem_or_der: bytes | str) -> bytes:
    """The SubjectPublicKeyInfo (DER, uncompressed point) of a key as somebody handed it in.

    Raises:
        ConfigError: `key.private`, `key.malformed`, `key.algorithm`, `key.weak`.
    """
    given = pem_or_der.encode() if isinstance(pem_or_der, str) else pem_or_der
    if len(given) > LONGEST_KEY:
        raise ConfigError("key.malformed", f"a key is at most {LONGEST_KEY} bytes", fix=_WANTED)
    if _is_private(given):
        raise ConfigError(
            "key.private",
            "this is a private key; it stays with its owner, and nobody else may have seen it",
            fix="hand in the .pub file; if the private key has travelled, make a new pair",
        )
    if given.lstrip().startswith(b"-----BEGIN"):
        if not given.lstrip().startswith(_PEM_FIRST_LINE) or given.count(b"-----BEGIN") != 1:
            raise ConfigError("key.malformed", "this PEM is not exactly one PUBLIC KEY", fix=_WANTED)
        return _written(_sound(given, pem=True))
    return _written(_sound(given, pem=False))


def _cache_key(spki: bytes) -> bytes:
    return hashlib.sha256(spki).digest()


_parsed_keys: LRUCache[bytes, PublicKey] = LRUCache(maxsize=1024)


@cached(_parsed_keys, key=_cache_key, lock=threading.Lock())
def parsed(spki: bytes) -> PublicKey:
    """The key in a normalised SubjectPublicKeyInfo.

    Raises:
        ConfigError: `key.malformed`, `key.algorithm`, `key.weak`; `key.not-normalised` if it could be written
            in another way, and so have another thumbprint.
    """
    key = _sound(spki, pem=False)
    if _written(key) != spki:
        raise ConfigError("key.not-normalised", "this key is not in its normal encoding", fix="use enrol")
    return key


def _sound(given: bytes, *, pem: bool) -> PublicKey:
    try:
        key = load_pem_public_key(given) if pem else load_der_public_key(given)
    except UnsupportedAlgorithm:
        raise ConfigError("key.algorithm", "this kind of key is not supported", fix=_WANTED) from None
    except ValueError:
        raise ConfigError(
            "key.malformed", "this is no public key, or no point of its curve", fix=_WANTED
        ) from None
    if isinstance(key, Ed25519PublicKey):
        if flaw := edwards.flaw(key.public_bytes_raw()):
            raise ConfigError("key.weak", f"this Ed25519 key proves nothing: {flaw}", fix="make a new key")
        return key
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return key
    raise ConfigError("key.algorithm", "this kind of key is not supported", fix=_WANTED)


def _written(key: PublicKey) -> bytes:
    # Rebuilt from its numbers: a key that was read from a compressed point may be written as one.
    plain = key if isinstance(key, Ed25519PublicKey) else key.public_numbers().public_key()
    return plain.public_bytes(Format.DER, PublicFormat.SubjectPublicKeyInfo)


def _is_private(given: bytes) -> bool:
    if b"PRIVATE KEY" in given:
        return True
    try:
        load_der_private_key(given, password=None)
    except (ValueError, UnsupportedAlgorithm):
        return False
    except TypeError:  # it is one, and encrypted
        return True
    return True
