"""The default format: a DSSE v1 envelope, signed by the enrolled key itself."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen
from typing_extensions import override

from cigate.attestation.verifier import AttestationVerifier, Verified
from cigate.errors import AttestationError
from cigate.signing import Envelope, KeyId, KeyRecord, is_key_id, pae, verify_signature

SOFTWARE_KEY = 1


@frozen
class DSSEVerifier(AttestationVerifier):
    """DSSE v1. Nobody vouches for where the key lives, so the level is that of a software key."""

    @override
    def hints(self, envelope: bytes) -> Sequence[KeyId]:
        named = (each.keyid for each in Envelope.parse(envelope).signatures)
        return tuple(KeyId(keyid) for keyid in named if is_key_id(keyid))

    @override
    def verify(self, envelope: bytes, key: KeyRecord) -> Verified:
        parsed = Envelope.parse(envelope)
        # `keyid` only says which signature to try; for a key that none names, any will do
        ordered = sorted(parsed.signatures, key=lambda each: each.keyid != key.id)
        if not verify_signature(key, pae(parsed.payload_type, parsed.payload), ordered[0].sig):
            raise AttestationError("attestation.bad-signature", f"key {key.id} did not sign this")
        return Verified(parsed.payload, parsed.payload_type, SOFTWARE_KEY)
