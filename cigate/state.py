"""The state that a gateway lives on: opened or refused, loaded, stopped, extended; never remade.

Only `found` (behind `init`, and behind a store that was just created) and `adopt` make anything. A store
without a ledger, behind its anchor, or with a head that does not verify is refused. Each load, enrolment,
revocation and stop is a ledger entry, and moves the fence by which running processes see it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cigate.config import Loaded
from cigate.controls import (
    FENCE,
    Fence,
    Scope,
    fence_put,
    halted,
    loaded,
    read_fence,
    resumed,
    revoked,
    void_tickets,
)
from cigate.errors import ConfigError, LedgerError
from cigate.journal import Journal, Step, read_row
from cigate.ledger import HEAD, Anchor, Draft, Head, Ledger, genesis
from cigate.ledger import adopt as adopted
from cigate.signing import KeyRecord, NoteSigner, load_private_key
from cigate.stores import CREATED, Change, Key, Put, Rows, Store
from cigate.wire import canonical

EPOCH: Final = Key("epoch", "current")


def epoch_began(store: Store) -> int:
    """Seconds since 1970 of when this epoch began: whatever was signed before it is refused."""
    rows = store.read([EPOCH])
    if EPOCH not in rows:
        raise LedgerError(
            "ledger.corrupt", "the row of the epoch is missing", fix="restore a backup and `adopt` it"
        )
    began: int = read_row(rows[EPOCH])["began"]
    return began


def origin_of(audience: str, epoch: str) -> str:
    """The name of one life of a gateway's ledger: checkpoints of two lives are never taken for each other."""
    return f"cigate/{quote(audience, safe='')}/{epoch}"


class State:
    """The opened state of one gateway."""

    def __init__(
        self,
        store: Store,
        key: Ed25519PrivateKey,
        head: Head,
        anchor: Anchor | None,
        clock: Callable[[], datetime],
        skew: timedelta,
    ) -> None:
        self._store = store
        self._clock = clock
        self._anchor = anchor
        self.origin = head.origin
        self.journal = Journal(store, NoteSigner(head.origin, key), anchor, skew=skew)
        self.ledger = Ledger(store, key.public_key(), head.origin)

    @classmethod
    def open(
        cls,
        store: Store,
        *,
        audience: str,
        ledger_key: Ed25519PrivateKey | Path | str,
        clock: Callable[[], datetime],
        skew: timedelta,
    ) -> State:
        """Open what is there; found it if the store was created and never used.

        Raises:
            LedgerError: `ledger.missing`, `ledger.corrupt`, `ledger.rolled-back`, `anchor.missing`, `anchor.corrupt`.
            ConfigError: `ledger.key`, it is no Ed25519 key; `ledger.audience`, the state belongs to another gateway.
        """
        key = private_ledger_key(ledger_key)
        anchor = anchor_of(store)
        rows = store.read([HEAD, CREATED])
        if HEAD not in rows and CREATED in rows:
            found(store, audience=audience, key=key, anchor=anchor, now=clock())
            rows = store.read([HEAD, CREATED])
        ledger = Ledger(store, key.public_key())
        if anchor is not None:
            anchor.check(ledger.head, ledger.root_at)
        head = ledger.head()
        if head.origin != origin_of(audience, head.epoch):
            raise ConfigError(
                "ledger.audience",
                f"this state belongs to {head.origin}, not to the audience {audience!r}",
                fix="a gateway keeps its audience for life: name the old one, or init a new folder",
            )
        epoch_began(store)  # or every request would find out that it is missing
        return cls(store, key, head, anchor, clock, skew)

    def load(self, given: Loaded, keys: Mapping[str, str] = MappingProxyType({})) -> None:
        """Make a policy and configuration the ones in force, for every process on the store.

        Args:
            keys: thumbprint to name of each key that has its use already: the host's keyring, the ledger's and the
                brokers' own. None of them can be enrolled under another name from now on.

        Raises:
            ConfigError: `policy.sequence`: it is not above the one in force; `key.enrolled-already`: a key is known
                under another name.
        """
        known = {Key("thumbprint", thumbprint): name for thumbprint, name in keys.items()}
        policy = given.policy
        public = {
            "policy": policy.name,
            "sequence": policy.sequence,
            "policy_digest": policy.digest,
            "config_digest": given.digest,
        }
        private = {
            "policy": policy.text,
            "actions": {name: action.to_json() for name, action in given.actions.items()},
            "keys": {name: thumbprint for thumbprint, name in keys.items()},
        }
        draft = Draft("load", public, private)

        def work(rows: Rows) -> Step[None]:
            before = read_fence(rows)
            fence = loaded(
                before,
                policy_name=policy.name,
                policy_sequence=policy.sequence,
                policy_digest=policy.digest,
                config_digest=given.digest,
            )
            puts = {
                row: Put(canonical.encode({"id": name})) for row, name in known.items() if row not in rows
            }
            for row in known.keys() & rows.keys():
                self._refuse_other_name(read_row(rows[row])["id"], known[row])
            if fence != before:
                puts[FENCE] = fence_put(fence)
            return Step(None, puts, (draft,)) if puts else Step(None)

        rows = self._store.read([FENCE, *known])
        if not work(rows).puts:
            return  # nothing is new: opening it once more costs no commit
        self.journal.write({FENCE, *known}, work, now=self._clock(), strict_clock=False)
        self.journal.sync()

    @staticmethod
    def _refuse_other_name(known: str, name: str) -> None:
        if known != name:
            raise ConfigError(
                "key.enrolled-already",
                f"the key {name} is known already, as {known}",
                fix="a key has one name and one use, ever: make a new one with cigate keygen",
            )

    def halt(self, reason: str, scope: str | None) -> None:
        now = self._clock()
        self._move("halt", scope, reason, lambda fence, where: halted(fence, where, reason, now))

    def resume(self, reason: str, scope: str | None) -> None:
        if not reason.strip():
            raise ConfigError(
                "halt.reason", "a resume needs a reason", fix="say in a few words why it is safe again"
            )
        self._move("resume", scope, reason, lambda fence, where: resumed(fence, where if scope else None))

    def revoke(self, scope: str, reason: str) -> None:
        scope = scope if ":" in scope else f"key:{scope}"
        now = self._clock()
        self._move("revoke", scope, reason, lambda fence, where: revoked(fence, where, reason, now))

    def enrol(self, record: KeyRecord) -> None:
        row, once = Key("key", record.id), Key("thumbprint", record.thumbprint)
        public = {"key": record.id, "use": record.use.value, "thumbprint": record.thumbprint}
        draft = Draft("enrol", public, {"record": record.to_json()})

        def work(rows: Rows) -> Step[None]:
            if row in rows or once in rows:
                known = record.id if row in rows else read_row(rows[once])["id"]
                raise ConfigError(
                    "key.enrolled-already",
                    f"{'the id' if row in rows else 'this public key'} is enrolled already, as {known}",
                    fix="a public key is enrolled once, ever: make a new one with cigate keygen",
                )
            puts = {
                row: Put(canonical.encode(record.to_json())),
                once: Put(canonical.encode({"id": record.id})),
            }
            return Step(None, puts, (draft,))

        self.journal.write({row, once}, work, now=self._clock(), strict_clock=False)

    def close(self) -> None:
        self.journal.close()
        close = getattr(self._store, "close", None)
        if close is not None:
            close()

    def _move(
        self, kind: str, scope: str | None, reason: str, change: Callable[[Fence, Scope], Fence]
    ) -> None:
        where = Scope.parse(scope)
        draft = Draft(kind, {"scope": str(where)}, {"reason": reason})

        def work(rows: Rows) -> Step[None]:
            before = read_fence(rows)
            fence = change(before, where)
            return Step(None) if fence == before else Step(None, {FENCE: fence_put(fence)}, (draft,))

        self.journal.write({FENCE}, work, now=self._clock(), strict_clock=False)
        self.journal.sync()


def found(
    store: Store, *, audience: str, key: Ed25519PrivateKey, anchor: Anchor | None, now: datetime
) -> None:
    """Begin the ledger of a store that was just created, and its anchor.

    Raises:
        LedgerError: `ledger.missing`: the store was not just created, so what it held is lost.
    """
    epoch = secrets.token_hex(8)
    signer = NoteSigner(origin_of(audience, epoch), key)
    draft = Draft("genesis", {"audience": audience}, {})

    def work(rows: Rows) -> Change[Head]:
        if HEAD in rows:
            return Change(result=Head.of(rows))
        if CREATED not in rows:
            raise LedgerError("ledger.missing", "this store holds no ledger and was not just created")
        made = genesis(rows, [draft], epoch=epoch, public_key=key.public_key(), now=now, signer=signer)
        puts = {**made.puts, CREATED: Put(None), FENCE: fence_put(Fence.first()), EPOCH: _epoch_put(epoch, 0)}
        return Change(puts, made.head)

    head = store.transact({HEAD, CREATED, FENCE, EPOCH}, work, now=now)
    if anchor is not None:
        anchor.create(head.size, head.root, head.epoch)


def adopt(
    store: Store,
    *,
    audience: str,
    ledger_key: Ed25519PrivateKey | Path | str,
    reason: str,
    clock: Callable[[], datetime],
) -> tuple[Head, datetime]:
    """Go on with a restored copy: a new epoch, whatever was issued before it refused, every pending ticket void.

    Leases are reconciled by whoever opens it next.

    Returns:
        The ledger's new head, and the second from which on signatures count again.

    Raises:
        ConfigError: `adopt.reason`.
        LedgerError: the copy's own ledger does not verify.
    """
    if not reason.strip():
        raise ConfigError(
            "adopt.reason", "an adoption needs a reason", fix="say which backup this is, and why"
        )
    key = private_ledger_key(ledger_key)
    now = clock()
    before = Ledger(store, key.public_key()).head()
    epoch = secrets.token_hex(8)
    signer = NoteSigner(origin_of(audience, epoch), key)
    tickets = [row for row, _ in _all(store, "ticket")]
    public = {"audience": audience, "tickets": len(tickets)}
    draft = Draft("adopt", public, {"reason": reason})

    def work(rows: Rows) -> Change[Head]:
        made = adopted(rows, [draft], epoch=epoch, now=max(now, before.last_time), signer=signer)
        began = int(max(now, before.last_time).timestamp()) + 1
        fence = fence_put(read_fence(rows).next_epoch())
        puts = {**made.puts, **void_tickets(rows), FENCE: fence, EPOCH: _epoch_put(epoch, began)}
        return Change(puts, made.head)

    head = store.transact({HEAD, FENCE, EPOCH, *tickets}, work, now=now)
    anchor = anchor_of(store)
    if anchor is not None:
        anchor.replace(head.size, head.root, head.epoch)
    return head, datetime.fromtimestamp(read_row(store.read([EPOCH])[EPOCH])["began"], UTC)


def private_ledger_key(given: Ed25519PrivateKey | Path | str) -> Ed25519PrivateKey:
    """The key that signs checkpoints, from its PEM file if need be.

    Raises:
        ConfigError: `ledger.key`, and what reading a key file raises.
    """
    key: Any = given if isinstance(given, Ed25519PrivateKey) else load_private_key(given)
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(
            "ledger.key", "the ledger's key must be an Ed25519 private key", fix="cigate init makes one"
        )
    return key


def anchor_of(store: Store) -> Anchor | None:
    """The anchor beside a store that lives in a file; a store in memory has none: it dies with its process."""
    path = getattr(store, "path", None)
    return Anchor(Path(f"{path}.anchor")) if path is not None else None


def _epoch_put(epoch: str, began: int) -> Put:
    return Put(canonical.encode({"epoch": epoch, "began": began}))


def _all(store: Store, family: str) -> list[tuple[Key, bytes]]:
    found: list[tuple[Key, bytes]] = []
    after = ""
    while page := store.scan(family, after=after):
        found += page
        after = page[-1][0].id
    return found
