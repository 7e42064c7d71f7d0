"""Keys, and signatures over bytes.

In: public keys as people hand them in, private keys of those who sign, envelopes and notes as bytes. Out:
key records, keyrings, signatures, and whether a signature is right. What always holds: a key record alone
says how a signature is verified; a public key has one name and one use; a signature is over bytes, never
over meaning.
"""

from __future__ import annotations

from cigate.signing.dsse import Envelope, EnvelopeSignature, pae
from cigate.signing.keys import KeyId, KeyRecord, Keyring, KeyUse, is_key_id
from cigate.signing.material import Algorithm, SignatureEncoding
from cigate.signing.note import NoteSigner, verify_note
from cigate.signing.signature import verify_signature
from cigate.signing.signer import APPROVAL_TYPE, REQUEST_TYPE, Signer, load_private_key, write_key_pair

__all__ = [
    "APPROVAL_TYPE",
    "REQUEST_TYPE",
    "Algorithm",
    "Envelope",
    "EnvelopeSignature",
    "KeyId",
    "KeyRecord",
    "KeyUse",
    "Keyring",
    "NoteSigner",
    "SignatureEncoding",
    "Signer",
    "is_key_id",
    "load_private_key",
    "pae",
    "verify_note",
    "verify_signature",
    "write_key_pair",
]
