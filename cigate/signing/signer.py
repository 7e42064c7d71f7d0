"""The other side of the wire: what an agent's and an approver's program does with its own key."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from attrs import Attribute, field, frozen
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from cigate.errors import ConfigError, RequestError
from cigate.request import Request
from cigate.signing import base64
from cigate.signing.dsse import Envelope
from cigate.signing.keys import KeyId, is_key_id
from cigate.signing.material import Algorithm
from cigate.ticket import Ticket
from cigate.wire import canonical

REQUEST_TYPE = "application/vnd.cigate.request.v1+json"
APPROVAL_TYPE = "application/vnd.cigate.approval.v1+json"

PrivateKey = EllipticCurvePrivateKey | Ed25519PrivateKey

_PEM = "-----BEGIN"


class CarriesTicket(Protocol):
    """An `Outcome` that holds a request, or a `TicketStatus`."""

    @property
    def ticket(self) -> Ticket | None: ...


Asked: TypeAlias = Ticket | Mapping[str, Any] | CarriesTicket


def _now() -> datetime:
    return datetime.now(UTC)


def _check_key_id(_: object, __: Attribute[KeyId], value: str) -> None:
    if not is_key_id(value):
        raise ConfigError("key.id", f"{value!r} is not a key id")


@frozen
class Signer:
    """A private key, under the name it is enrolled with, for one gateway.

    Args:
        private_key: ECDSA P-256 or Ed25519; it is shown nowhere. P-256 signs in DER.
        key_id: the enrolment id.
        audience: the gateway's own name, exactly.
        clock: the time now.

    Raises:
        ConfigError: `key.id`, `key.algorithm`.
    """

    _private_key: PrivateKey = field(repr=False, eq=False)
    key_id: KeyId = field(validator=_check_key_id, kw_only=True)
    audience: str = field(kw_only=True)
    clock: Callable[[], datetime] = field(default=_now, repr=False, eq=False, kw_only=True)

    def __attrs_post_init__(self) -> None:
        _supported(self._private_key)

    @classmethod
    def from_pem(
        cls,
        source: str | bytes | os.PathLike[str],
        *,
        key_id: str,
        audience: str,
        clock: Callable[[], datetime] = _now,
    ) -> Signer:
        """A signer with an unencrypted PKCS #8 key: the path of its file, which nobody but its owner may read, or
        the PEM itself.

        Raises:
            ConfigError: `key.file` if it can't be read, `key.file-mode`, `key.malformed`, `key.algorithm`,
                `key.id`.
        """
        return cls(load_private_key(source), key_id=KeyId(key_id), audience=audience, clock=clock)

    @classmethod
    def generate(
        cls,
        algorithm: str = Algorithm.P256,
        *,
        key_id: str,
        audience: str,
        clock: Callable[[], datetime] = _now,
    ) -> Signer:
        """A signer with a fresh key that is in no file: for tests and notebooks.

        Raises:
            ConfigError: `key.algorithm`, `key.id`.
        """
        return cls(_generate(algorithm), key_id=KeyId(key_id), audience=audience, clock=clock)

    def public_pem(self) -> bytes:
        """The public key, SubjectPublicKeyInfo in PEM: what is enrolled."""
        return _public_pem(self._private_key)

    def sign(
        self, request: Request | Mapping[str, Any], *, lifetime: timedelta = timedelta(minutes=5)
    ) -> bytes:
        """The signed request, as an agent sends it: the fields, and the attestation over all of them.

        Each call makes a new `jti`, so each is a new request. A parsed `Request` that was signed before is signed anew.

        Raises:
            RequestError: it is not a request within bounds, or it is a dict that carries an attestation.
        """
        asked = request if isinstance(request, Request) else Request.of(request)
        payload = canonical.encode({**asked.fields(), **self._claims(lifetime)})
        envelope = Envelope.sign(REQUEST_TYPE, payload, (self.key_id, self.sign_bytes)).to_bytes()
        return canonical.encode({**asked.fields(), "attestation": base64.encode(envelope)})

    def approve(self, ticket: Asked, *, lifetime: timedelta = timedelta(minutes=5)) -> bytes:
        """A signed yes to exactly what `Ticket.summary` shows: the digest is computed here, never taken over.

        Args:
            ticket: the ticket, the JSON that `status` prints of it, or what carries it: an outcome, a ticket's status.

        Raises:
            RequestError: `ticket.malformed`, `ticket.audience` if another gateway asks.
        """
        return self._answer(ticket, "approve", lifetime)

    def reject(self, ticket: Asked, *, lifetime: timedelta = timedelta(minutes=5)) -> bytes:
        """A signed no to what `Ticket.summary` shows.

        Raises:
            RequestError: `ticket.malformed`, `ticket.audience` if another gateway asks.
        """
        return self._answer(ticket, "reject", lifetime)

    def sign_bytes(self, message: bytes) -> bytes:
        """A bare signature over bytes: what envelopes are made of."""
        if isinstance(self._private_key, Ed25519PrivateKey):
            return self._private_key.sign(message)
        return self._private_key.sign(message, ECDSA(SHA256()))

    def _answer(self, ticket: Asked, verdict: str, lifetime: timedelta) -> bytes:
        asked = _ticket(ticket)
        if asked.audience != self.audience:
            raise RequestError(
                "ticket.audience", f"{asked.audience!r} asks, and this key answers {self.audience!r} only"
            )
        answer = {"ticket": asked.id, "digest": asked.digest, "verdict": verdict}
        payload = canonical.encode({**answer, **self._claims(lifetime)})
        return Envelope.sign(APPROVAL_TYPE, payload, (self.key_id, self.sign_bytes)).to_bytes()

    def _claims(self, lifetime: timedelta) -> dict[str, Any]:
        issued = int(self.clock().timestamp())
        whole_seconds = lifetime // timedelta(seconds=1)
        return {
            "aud": self.audience,
            "iat": issued,
            "exp": issued + whole_seconds,
            "jti": secrets.token_urlsafe(16),
        }


def _ticket(asked: Asked) -> Ticket:
    """The ticket that is answered. Its id alone would be signing something unread."""
    ticket = asked if isinstance(asked, Ticket) else getattr(asked, "ticket", None)
    if isinstance(ticket, Ticket):
        return ticket
    if isinstance(asked, Mapping):
        return Ticket.from_json(asked)
    raise RequestError(
        "ticket.malformed",
        f"expected a ticket, found {type(asked).__name__}",
        fix="give the ticket (gateway.status(ID).ticket): its summary is what is signed",
    )


def write_key_pair(path: str | os.PathLike[str], *, algorithm: str = Algorithm.P256) -> Path:
    """Make a key pair: PATH (PKCS #8 PEM, mode 600), and PATH.pub (SPKI PEM), whose path is returned.

    Raises:
        ConfigError: `key.algorithm`; `key.file` if either file is there already or can't be made.
    """
    private_path = Path(path)
    public_path = private_path.with_name(private_path.name + ".pub")
    private_key = _generate(algorithm)
    if public_path.exists():
        raise ConfigError("key.file", f"{public_path} is there already", fix="choose another name")
    _create(private_path, 0o600, private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    _create(public_path, 0o644, _public_pem(private_key))
    return public_path


def load_private_key(source: str | bytes | os.PathLike[str]) -> PrivateKey:
    """An unencrypted PKCS #8 key: the path of its file, which nobody but its owner may read, or the PEM itself.

    Raises:
        ConfigError: `key.file`, `key.file-mode`, `key.malformed`, `key.algorithm`. None quotes what may be a key.
    """
    if isinstance(source, bytes):
        return _from_pem(source, "what was given")
    path = os.fspath(source)
    if isinstance(source, str) and _PEM in source:
        return _from_pem(source.encode("utf-8", "surrogatepass"), "what was given")
    if _PEM in path or "\n" in path or "\0" in path:
        raise ConfigError(
            "key.file", "this is not the path of a key's file", fix="give PEM as a str or as bytes"
        )
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read()
    except OSError as error:
        raise ConfigError("key.file", f"{path} can't be read: {error.strerror}") from None
    if mode & 0o077:
        raise ConfigError("key.file-mode", f"others may use {path}", fix=f"chmod 600 {path}")
    return _from_pem(content, path)


def _from_pem(content: bytes, name: str) -> PrivateKey:
    try:
        key = load_pem_private_key(content, password=None)
    except UnsupportedAlgorithm:
        raise ConfigError("key.algorithm", f"the kind of key in {name} is not supported") from None
    except (TypeError, ValueError):
        # the parser's own message may quote what it read
        raise ConfigError("key.malformed", f"{name} is not an unencrypted private key") from None
    return _supported(key)


def _supported(key: object) -> PrivateKey:
    if isinstance(key, Ed25519PrivateKey):
        return key
    if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1):
        return key
    raise ConfigError("key.algorithm", "only ECDSA P-256 and Ed25519 keys are supported")


def _generate(algorithm: str) -> PrivateKey:
    if algorithm == Algorithm.ED25519:
        return Ed25519PrivateKey.generate()
    if algorithm == Algorithm.P256:
        return generate_private_key(SECP256R1())
    raise ConfigError("key.algorithm", f"{algorithm!r} is none of {', '.join(Algorithm)}")


def _public_pem(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _create(path: Path, mode: int, content: bytes) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except OSError as error:
        raise ConfigError("key.file", f"{path} can't be made: {error.strerror}") from None
