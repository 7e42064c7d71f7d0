"""The ledger: what happened, signed, in order, provable.

In: drafts of entries, appended by a pure function inside the gateway's own transaction. Out: signed
checkpoints, receipts and proofs for anybody who holds the public key, exports, and verifications of them.
What must always hold: an entry that was acknowledged stays, at its index, as it was; whoever holds a later
checkpoint sees any change; a receipt opens the public part of an entry and nothing else.
"""

from __future__ import annotations

from cigate.ledger.anchor import Anchor, Mark
from cigate.ledger.checkpoint import Checkpoint, claimed, ledger_key, open_checkpoint
from cigate.ledger.entry import BIGGEST_ENTRY, Draft, Entry, Leaf
from cigate.ledger.log import ADOPT, GENESIS, HEAD, LEDGER_KEYS, Appended, Head, adopt, append, genesis
from cigate.ledger.reader import Ledger
from cigate.ledger.receipt import Receipt, ReceiptReport, check_receipt
from cigate.ledger.replay import Difference, replay, taken_from_json
from cigate.ledger.verify import Verification, verify_export

__all__ = [
    "ADOPT",
    "BIGGEST_ENTRY",
    "GENESIS",
    "HEAD",
    "LEDGER_KEYS",
    "Anchor",
    "Appended",
    "Checkpoint",
    "Difference",
    "Draft",
    "Entry",
    "Head",
    "Leaf",
    "Ledger",
    "Mark",
    "Receipt",
    "ReceiptReport",
    "Verification",
    "adopt",
    "append",
    "check_receipt",
    "claimed",
    "genesis",
    "ledger_key",
    "open_checkpoint",
    "replay",
    "taken_from_json",
    "verify_export",
]
