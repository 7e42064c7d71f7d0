"""DSSE v1: an envelope of bytes, their type, and signatures over both. No JSON is compared.

Read strictly: one spelling, no name but the protocol's own, nothing twice. `keyid` is a hint that no
signature covers. https://github.com/secure-systems-lab/dsse, protocol and envelope of version 1.0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set

from attrs import field, frozen

from cigate.errors import AttestationError
from cigate.signing import base64
from cigate.signing.keys import KeyId
from cigate.wire import canonical, ijson

MOST_SIGNATURES = 8

SigningKey = tuple[KeyId, Callable[[bytes], bytes]]
"""A key's id and what signs bytes with it."""


def pae(payload_type: str, payload: bytes) -> bytes:
    """The pre-authentication encoding: what a signature is really over. Lengths are in bytes."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


@frozen
class EnvelopeSignature:
    """One signature of an envelope. `keyid` is the empty string where the envelope gives none."""

    keyid: str
    sig: bytes = field(repr=False)


@frozen
class Envelope:
    """A DSSE envelope, well-formed; who signed it is not yet known.

    Args:
        payload_type: media type of the payload, covered by the signatures.
        payload: the bytes that were signed.
        signatures: one to eight, no key id and no signature twice.
    """

    payload_type: str
    payload: bytes = field(repr=False)
    signatures: tuple[EnvelopeSignature, ...]

    @classmethod
    def parse(cls, raw: bytes) -> Envelope:
        """Read an envelope's JSON. Base64 may use either alphabet of RFC 4648, canonical and padded.

        Raises:
            AttestationError: `dsse.json`, `dsse.fields`, `dsse.base64`, `dsse.signatures`, `dsse.duplicate`.
        """
        try:
            document = ijson.parse(raw)
        except ijson.JSONError as error:
            raise AttestationError("dsse.json", error.message, where=error.where) from error
        members = _members(document, "", required={"payload", "payloadType", "signatures"})
        entries = members["signatures"]
        if not isinstance(entries, list) or not 1 <= len(entries) <= MOST_SIGNATURES:
            raise AttestationError(
                "dsse.signatures", f"an envelope has 1 to {MOST_SIGNATURES} signatures", where="/signatures"
            )
        envelope = cls(
            payload_type=_text(members["payloadType"], "/payloadType"),
            payload=_bytes(members["payload"], "/payload"),
            signatures=tuple(_signature(entry, f"/signatures/{at}") for at, entry in enumerate(entries)),
        )
        envelope._refuse_doubles()
        return envelope

    @classmethod
    def sign(cls, payload_type: str, payload: bytes, *signers: SigningKey) -> Envelope:
        """Sign a payload with each of these keys."""
        message = pae(payload_type, payload)
        return cls(
            payload_type, payload, tuple(EnvelopeSignature(key, sign(message)) for key, sign in signers)
        )

    def to_bytes(self) -> bytes:
        """The envelope as JSON; `parse` reads it back."""
        return canonical.encode(
            {
                "payload": base64.encode(self.payload),
                "payloadType": self.payload_type,
                "signatures": [
                    {**({"keyid": each.keyid} if each.keyid else {}), "sig": base64.encode(each.sig)}
                    for each in self.signatures
                ],
            }
        )

    def _refuse_doubles(self) -> None:
        named = [each.keyid for each in self.signatures if each.keyid]
        if len(set(named)) < len(named):
            raise AttestationError("dsse.duplicate", "a key id stands here twice", where="/signatures")
        if len({each.sig for each in self.signatures}) < len(self.signatures):
            raise AttestationError("dsse.duplicate", "a signature stands here twice", where="/signatures")


def _signature(entry: ijson.Json, where: str) -> EnvelopeSignature:
    members = _members(entry, where, required={"sig"}, optional={"keyid"})
    keyid = members.get("keyid", "")
    if not isinstance(keyid, str):
        raise AttestationError("dsse.fields", "expected a string", where=f"{where}/keyid")
    return EnvelopeSignature(keyid, _bytes(members["sig"], f"{where}/sig"))


def _members(
    value: ijson.Json, where: str, *, required: set[str], optional: Set[str] = frozenset()
) -> Mapping[str, ijson.Json]:
    if not isinstance(value, dict) or not required <= set(value) <= required | optional:
        names = ", ".join(sorted(required))
        raise AttestationError("dsse.fields", f"expected an object of exactly {names}", where=where)
    return value


def _text(value: ijson.Json, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise AttestationError("dsse.fields", "expected a string that is not empty", where=where)
    return value


def _bytes(value: ijson.Json, where: str) -> bytes:
    try:
        return base64.decode_either(_text(value, where))
    except ValueError as error:
        raise AttestationError("dsse.base64", str(error), where=where) from None
