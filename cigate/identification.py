"""Who signed: an envelope goes in, and the attestation of today's key records comes out.

Keys come from the keyring that the host gave and from those that were enrolled into the store, read in one
snapshot with the fence. To strangers a revoked key is an unknown one: same code, same shape, as many records
read and signatures verified. Both take the time of a P-256 key; a live Ed25519 key takes less.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta

from attrs import evolve, frozen

from cigate.attestation import (
    NOBODY,
    Approval,
    Attestation,
    AttestationVerifier,
    SignedRefusal,
    attest,
    attest_approval,
)
from cigate.controls import CLOCK, FENCE, HeldTicket, check_clock, read_fence
from cigate.errors import AttestationError
from cigate.journal import read_row
from cigate.request import Request, Signed
from cigate.signing import Envelope, KeyRecord, Keyring
from cigate.state import epoch_began
from cigate.stores import Key, Store
from cigate.wire import canonical

_NOBODYS_ROW = canonical.encode(NOBODY.to_json())


@frozen
class Identification:
    """Looks keys up and attests.

    Args:
        store: holds enrolled keys, the fence and the epoch.
        keyring: keys that the host gave by hand.
        verifiers: formats of attestation by name.
        audience: this gateway's own name.
        clock: aware UTC now.
        skew: how far clocks may differ.
    """

    store: Store
    keyring: Keyring
    verifiers: Mapping[str, AttestationVerifier]
    audience: str
    clock: Callable[[], datetime]
    skew: timedelta

    def request(self, request: Request) -> Attestation:
        """Who signed exactly these bytes, by a key that is enrolled and not revoked, in this epoch.

        Raises:
            AttestationError, SignedRefusal: as `attest`.
        """
        keys = self._keys(request.attestation or b"")
        found = attest(request, keys, self.verifiers, self.audience, self.clock(), skew=self.skew)
        self._refuse_old(found.signed, found.key)
        return found

    def approval(self, envelope: bytes) -> Approval:
        """The same for a person's answer."""
        keys = self._keys(envelope)
        found = attest_approval(envelope, keys, self.verifiers, self.audience, self.clock(), skew=self.skew)
        self._refuse_old(found.signed, found.key)
        return found

    def held(self, held: HeldTicket) -> Attestation:
        """A held request once more, under today's key records; its own times were judged when it was held."""
        request, _ = Request.from_signed(Envelope.parse(held.envelope).payload)
        request = evolve(request, attestation=held.envelope)
        keys, then = self._keys(held.envelope), held.ticket.created
        found = attest(request, keys, self.verifiers, self.audience, then, skew=self.skew)
        until = found.key.valid_until
        if until is not None and self.clock() >= until:
            raise AttestationError("attestation.expired-key", f"key {found.key.id} is no longer valid")
        return found

    def _keys(self, envelope: bytes) -> Mapping[str, KeyRecord]:
        """The records of the keys that an envelope hints at. A revoked key is an unknown one."""
        hints: list[str] = []
        for verifier in self.verifiers.values():
            try:
                hints += verifier.hints(envelope)
            except AttestationError:
                continue  # attest says what is wrong with it
        return self.known(hints)

    def known(self, hints: Collection[str]) -> Mapping[str, KeyRecord]:
        """The records of these keys, of those that are enrolled and not revoked."""
        rows = self.store.read([FENCE, CLOCK, *(Key("key", hint) for hint in hints)])
        check_clock(rows, self.clock(), self.skew)
        fence = read_fence(rows)
        # One record is read for each hint, so that time does not tell which are enrolled.
        read = {
            hint: KeyRecord.from_json(read_row(rows.get(Key("key", hint), _NOBODYS_ROW))) for hint in hints
        }
        stored = {hint: record for hint, record in read.items() if Key("key", hint) in rows}
        known = {**stored, **{hint: self.keyring[hint] for hint in hints if hint in self.keyring}}
        return {name: record for name, record in known.items() if fence.revocation_of_key(name) is None}

    def _refuse_old(self, signed: Signed, key: KeyRecord) -> None:
        if signed.iat < epoch_began(self.store):
            raise SignedRefusal("attestation.time", "it was signed before this state was adopted", key=key)
