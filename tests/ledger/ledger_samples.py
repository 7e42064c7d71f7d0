"""A small ledger to try things on: made as a gateway makes one, entry by entry, in a store."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cigate.ledger import LEDGER_KEYS, Appended, Draft, Ledger, append, genesis
from cigate.signing.note import NoteSigner
from cigate.stores.memory import MemoryStore
from cigate.stores.store import Change, Rows, Store

NOW = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
ORIGIN = "ci.example.com/first"
KEY = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"a ledger key for tests").digest())
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"somebody else's key").digest())
SIGNER = NoteSigner(ORIGIN, KEY)


def pem_of(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


PUBLIC_KEY = pem_of(KEY)


def salt(number: int) -> bytes:
    return hashlib.sha256(b"salt %d" % number).digest()[:16]


def decision_draft(number: int, **public: Any) -> Draft:
    return Draft(
        "decision",
        {
            "decision_id": f"d-{number}",
            "effect": "allow",
            "code": "policy.allowed",
            "action": "run-test-suite",
            "commit": "sha256:" + "ab" * 32,
            "audience": "https://ci.example.com",
            "origin": ORIGIN,
            "policy_digest": "sha256:" + "00" * 32,
            "fence": 1,
            "rules": ["managed-agents-run-tests"],
            **public,
        },
        {"user": "alice@example.com", "number": number, "note": "façade \x1b[2J"},
        salt(number),
    )


def begin(store: Store, signer: NoteSigner = SIGNER, public_key: bytes = PUBLIC_KEY) -> Appended:
    def work(rows: Rows) -> Change[Appended]:
        made = genesis(
            rows, [Draft("genesis", salt=salt(0))], epoch="e1", public_key=public_key, now=NOW, signer=signer
        )
        return Change(made.puts, made)

    return store.transact(LEDGER_KEYS, work, now=NOW)


def add(store: Store, *drafts: Draft, signer: NoteSigner = SIGNER, now: datetime = NOW) -> Appended:
    def work(rows: Rows) -> Change[Appended]:
        made = append(rows, drafts, now=now, signer=signer)
        return Change(made.puts, made)

    return store.transact(LEDGER_KEYS, work, now=now)


def ledger_of(size: int, store: Store | None = None, *, batches: Sequence[int] = ()) -> tuple[Ledger, Store]:
    """A ledger of `size` entries, one append each, or appends as large as `batches` says."""
    store = store or MemoryStore()
    begin(store)
    number = 1
    for batch in batches or [1] * (size - 1):
        drafts = [decision_draft(number + each) for each in range(batch)]
        add(store, *drafts, now=NOW + timedelta(seconds=number))
        number += batch
    assert number == size
    return Ledger(store, PUBLIC_KEY), store


def exported(ledger: Ledger) -> bytes:
    into = io.BytesIO()
    ledger.export(into)
    return into.getvalue()
