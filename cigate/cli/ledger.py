"""The ledger, read and verified."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cigate.cli.folder import configuration
from cigate.cli.streams import read_input, say, show
from cigate.decision import Decision
from cigate.errors import LedgerError, RequestError
from cigate.facts import Facts
from cigate.ledger import BIGGEST_ENTRY, Ledger, verify_export
from cigate.ledger import check_receipt as check
from cigate.ledger import replay as replay_entries
from cigate.policy import PolicyEngine, settle
from cigate.state import anchor_of
from cigate.stores import open_store


def export(arguments: argparse.Namespace) -> int:
    _read(arguments).export(sys.stdout.buffer)
    sys.stdout.flush()
    return 0


def checkpoint(arguments: argparse.Namespace) -> int:
    sys.stdout.write(_read(arguments).checkpoint())
    return 0


def verify(arguments: argparse.Namespace) -> int:
    outside = None
    if arguments.checkpoint is not None:
        outside = read_input(arguments.checkpoint).decode("utf-8", "replace")
    if arguments.export is None:
        found = _read(arguments).verify(outside)
    else:
        found = verify_export(
            read_input(arguments.export, most=None), public_key=_public_key(arguments), checkpoint=outside
        )
    show(found.to_json())
    if not found.ok:
        say(f"{found.code}: {found.message}")
    elif not found.anchored:
        say(
            "not anchored: whoever can write the folder could have signed another history; keep a checkpoint outside"
        )
    return 0 if found.ok else 1


def prove(arguments: argparse.Namespace) -> int:
    ledger = _read(arguments)
    show(ledger.prove(_index(ledger, arguments.index)).to_json())
    return 0


def show_entries(arguments: argparse.Namespace) -> int:
    ledger = _read(arguments)
    if arguments.index is not None:
        show(ledger.entry(_index(ledger, arguments.index)).to_json())
    else:
        for entry in ledger.entries():
            print(f"{entry.index:6} {entry.time} {entry.kind:10} {_line(entry.public)}")
    return 0


def check_receipt(arguments: argparse.Namespace) -> int:
    try:
        report = check(
            read_input(arguments.file, most=2 * BIGGEST_ENTRY),
            public_key=_key_bytes(Path(arguments.public_key)),
            now=datetime.now(UTC),
            expect=arguments.expect,
            audience=arguments.audience,
            commit=arguments.commit,
            decision=arguments.decision,
            max_age=timedelta(seconds=arguments.max_age) if arguments.max_age is not None else None,
        )
    except LedgerError as error:
        show({"ok": False, "code": error.code, "message": error.message})
        return 1
    show({"ok": True, **report.to_json()})
    return 0


def replay(arguments: argparse.Namespace) -> int:
    if arguments.policy == "":
        raise RequestError("input.unreadable", "the name of the policy's file is empty")
    other = PolicyEngine.from_path(arguments.policy) if arguments.policy is not None else None
    ledger = _read(arguments)
    differences = replay_entries(ledger.entries(), _decider(ledger, other), settle)
    show({"entries": ledger.size, "differences": [each.to_json() for each in differences]})
    return 1 if differences else 0


def _decider(ledger: Ledger, other: PolicyEngine | None) -> Callable[[str, Facts], Decision]:
    """Decide as the policy of that digest would, from the texts that the ledger itself keeps; or as another one."""
    texts: dict[str, str] = {}
    engines: dict[str, PolicyEngine] = {}
    for entry in ledger.entries():
        if entry.kind == "load":
            texts[entry.public["policy_digest"]] = entry.private["policy"]

    def by_digest(digest: str, facts: Facts) -> Decision:
        if other is not None:
            return other.decide(facts).by(digest)  # that it is another one is no difference
        if digest not in engines:
            if digest not in texts:
                raise LedgerError("replay.no-policy", f"the ledger holds no policy {digest}")
            engines[digest] = PolicyEngine.from_yaml(texts[digest], name="policy in the ledger")
        return engines[digest].decide(facts)

    return by_digest


def _read(arguments: argparse.Namespace) -> Ledger:
    found = configuration(arguments)
    store = open_store(found.store, folder=found.folder)
    ledger = Ledger(store, _key_bytes(found.ledger_public_key()))
    anchor = anchor_of(store)
    if anchor is not None:
        anchor.check(ledger.head, ledger.root_at)
    return ledger


def _public_key(arguments: argparse.Namespace) -> bytes | None:
    path = Path(arguments.public_key) if arguments.public_key is not None else None
    if path is None and Path(arguments.config).exists():
        path = configuration(arguments).ledger_public_key()
    if path is None:
        say("no public key is at hand: the export is held against the key that it names itself")
        return None
    return _key_bytes(path)


def _key_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RequestError(
            "input.unreadable",
            f"the ledger's public key {path} can't be read: {error.strerror}",
            fix="init wrote it beside the private one; `openssl pkey -in ledger.key -pubout` gives it again",
        ) from None


def _index(ledger: Ledger, index: int) -> int:
    if not 0 <= index < ledger.size:
        raise RequestError(
            "ledger.no-entry", f"there is no entry {index}", fix=f"they are numbered 0 to {ledger.size - 1}"
        )
    return index


def _line(public: Mapping[str, Any]) -> str:
    wanted = (
        "effect",
        "code",
        "action",
        "decision_id",
        "result",
        "scope",
        "key",
        "policy",
        "ticket",
        "verdict",
        "refused",
    )
    return " ".join(f"{name}={public[name]}" for name in wanted if public.get(name) is not None)
