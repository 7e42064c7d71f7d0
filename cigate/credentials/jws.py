"""Compact JWS (RFC 7515) of one key, which reads back only what it could have written itself.

The header is a constant of the key: algorithm, type and thumbprint. A token with any other header, however
equal in meaning, is not ours, so nothing in a token ever chooses how it is verified (RFC 8725 section 3.1).
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from cigate.errors import AttestationError, ConfigError
from cigate.secret import Secret
from cigate.signing.signer import PrivateKey, load_private_key
from cigate.wire import canonical, ijson

TYPE: Final = "at+jwt"
_LONGEST: Final = 64 * 1024
_P256_OCTETS: Final = 32
_TOKEN = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{86})")


class TokenKey:
    """A private key that writes and reads access tokens (`typ` at+jwt, RFC 9068).

    Args:
        key: Ed25519 (`alg` EdDSA, RFC 8037) or ECDSA P-256 (ES256, RFC 7518 section 3.4).
    """

    def __init__(self, key: PrivateKey) -> None:
        self._private = key
        self._public = key.public_key()
        self.thumbprint = _thumbprint(self._public)
        algorithm = "EdDSA" if isinstance(key, Ed25519PrivateKey) else "ES256"
        self._header = _encoded(canonical.encode({"alg": algorithm, "typ": TYPE, "kid": self.thumbprint}))

    def public_pem(self) -> bytes:
        """The public key, SubjectPublicKeyInfo in PEM."""
        return self._public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def write(self, claims: Mapping[str, Any]) -> str:
        """A token of these claims.

        Raises:
            JSONError: the claims are no JSON.
        """
        signed = f"{self._header}.{_encoded(canonical.encode(claims))}"
        return f"{signed}.{_encoded(self._sign(signed.encode()))}"

    def read(self, token: object) -> Mapping[str, Any]:
        """The claims of a token that this key wrote.

        Raises:
            AttestationError: `token.malformed`, `token.header`, `token.signature`, `token.claims`.
        """
        match = _TOKEN.fullmatch(token) if isinstance(token, str) and len(token) <= _LONGEST else None
        if match is None:
            raise AttestationError("token.malformed", "this is not a compact JWS of ours")
        header, payload, signature = match.groups()
        if header != self._header:
            raise AttestationError("token.header", "another key, algorithm or type of token")
        if not self._verifies(_decoded(signature), f"{header}.{payload}".encode()):
            raise AttestationError("token.signature", "its signature is wrong")
        try:
            claims = ijson.parse(_decoded(payload))
        except ijson.JSONError as error:
            raise AttestationError("token.claims", "its claims are not I-JSON") from error
        if not isinstance(claims, dict):
            raise AttestationError("token.claims", "its claims are not an object")
        return claims

    def _sign(self, message: bytes) -> bytes:
        if isinstance(self._private, Ed25519PrivateKey):
            return self._private.sign(message)
        r, s = decode_dss_signature(self._private.sign(message, ECDSA(SHA256())))
        return r.to_bytes(_P256_OCTETS, "big") + s.to_bytes(_P256_OCTETS, "big")

    def _verifies(self, signature: bytes, message: bytes) -> bool:
        try:
            if isinstance(self._public, Ed25519PublicKey):
                self._public.verify(signature, message)
            else:
                numbers = signature[:_P256_OCTETS], signature[_P256_OCTETS:]
                der = encode_dss_signature(*(int.from_bytes(number, "big") for number in numbers))
                self._public.verify(der, message, ECDSA(SHA256()))
        except InvalidSignature:
            return False
        return True


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def _decoded(text: str) -> bytes:
    """The bytes of an unpadded base64url text (RFC 7515 appendix C), in its one canonical spelling."""
    if len(text) % 4 == 1:
        raise AttestationError("token.malformed", "a part of it is not base64url")
    content = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if _encoded(content) != text:
        raise AttestationError("token.malformed", "a part of it is a second spelling of its bytes")
    return content


def _thumbprint(key: EllipticCurvePublicKey | Ed25519PublicKey) -> str:
    """RFC 7638: SHA-256 over the key's required members, in canonical JSON."""
    if isinstance(key, Ed25519PublicKey):
        members = {"kty": "OKP", "crv": "Ed25519", "x": _encoded(key.public_bytes_raw())}
    else:
        point = key.public_numbers()
        x, y = (_encoded(number.to_bytes(_P256_OCTETS, "big")) for number in (point.x, point.y))
        members = {"kty": "EC", "crv": "P-256", "x": x, "y": y}
    return _encoded(hashlib.sha256(canonical.encode(members)).digest())


def private_key(key: PrivateKey | Secret | Path) -> PrivateKey:
    """A key as somebody handed it in: itself, or its unencrypted PKCS #8 PEM as a secret or in a file.

    Raises:
        ConfigError: `key.file`, `key.file-mode` (others may read it), `key.malformed`, `key.algorithm`.
    """
    match key:
        case Path():
            return load_private_key(key)
        case Secret():
            return private_key(key.reveal_to(_from_pem))
        case Ed25519PrivateKey():
            return key
        case EllipticCurvePrivateKey() if isinstance(key.curve, SECP256R1):
            return key
    raise ConfigError(
        "key.algorithm", f"a {type(key).__name__} is neither an Ed25519 nor a P-256 private key"
    )


def _from_pem(pem: bytes) -> Any:
    try:
        return load_pem_private_key(pem, password=None)
    except (TypeError, ValueError, UnsupportedAlgorithm):
        # The parser's own message may quote what it read.
        raise ConfigError("key.malformed", "this is not an unencrypted PKCS #8 private key in PEM") from None
