"""Leases, taken back at the end of their run; one that can't be is kept, tried again, and named until it dies."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from typing import Any

from attrs import frozen

from cigate.credentials import CredentialBroker, DiesAt, LeaseId, Tag
from cigate.errors import CannotList, CigateError
from cigate.intent import Intent
from cigate.journal import Step, scan_rows
from cigate.ledger import Draft
from cigate.stores import Key, Put, Rows, Store
from cigate.wire.times import parse_timestamp, timestamp

log = logging.getLogger("cigate")

Write = Callable[[Collection[Key], Callable[[Rows], Step[None]], datetime], None]
"""Makes one step durable, trying again if need be."""


@frozen
class Held:
    """What is known of an intent's lease: its id, and until when it opens something if nobody takes it back."""

    lease: LeaseId
    dies: datetime


class Leases:
    """The leases of intents that have ended. Safe to use from many threads.

    Args:
        store: holds a row for each lease that could not be taken back.
        brokers: by the names that intents carry.
        clock: aware UTC now.
    """

    def __init__(
        self, store: Store, brokers: Mapping[str, CredentialBroker], clock: Callable[[], datetime]
    ) -> None:
        self.brokers = brokers
        self._store = store
        self._clock = clock

    def outstanding(self) -> Iterator[dict[str, Any]]:
        """Every lease that could not be taken back and may still open something."""
        now = self._clock()
        for row in scan_rows(self._store, "lease"):
            if parse_timestamp(row["dies"]) > now:
                yield row

    def take_back(self, intent: Intent, held: Held | None, now: datetime) -> list[tuple[Key, dict[str, Any]]]:
        """Revoke what the intent's broker issued. Gives the rows of the leases that may still open something."""
        if held is None:
            return []
        broker = self.brokers.get(intent.broker)
        leases: list[LeaseId]
        left: list[tuple[Key, dict[str, Any]]] = []

        def remains(lease: str, dies: datetime, why: str) -> None:
            row = {
                "lease": lease,
                "broker": intent.broker,
                "decision_id": intent.decision_id,
                "dies": timestamp(dies),
                "why": why,
                "since": timestamp(now),
            }
            left.append((Key("lease", f"{intent.decision_id}.{lease}"), row))

        if broker is None:
            remains(held.lease, held.dies, f"there is no broker {intent.broker} any more")
            return left
        try:
            leases = [held.lease] if held.lease else list(broker.outstanding(Tag(intent.decision_id)))
        except CannotList:
            remains("", held.dies, "the broker can't list what it issued")
            return left
        except Exception as error:  # noqa: BLE001  # what can't be asked counts as outstanding
            remains("", held.dies, words(error))
            return left
        for lease in leases:
            try:
                answer = broker.revoke(lease)
            except Exception as error:  # noqa: BLE001  # what can't be revoked is never forgotten
                log.error(
                    "lease %s of broker %s could not be revoked: %s", lease, intent.broker, words(error)
                )
                remains(lease, held.dies, words(error))
            else:
                if isinstance(answer, DiesAt):
                    remains(lease, max(answer.at, held.dies), "the broker can't revoke it")
        return left

    def retry(self, write: Write) -> list[dict[str, Any]]:
        """Try again to take back what is left, forget what is gone, and name what is still outstanding."""
        outstanding = []
        for row in list(self.outstanding()):
            key = Key("lease", f"{row['decision_id']}.{row['lease']}")
            if not self._revoked_now(row):
                outstanding.append({"kind": "lease", **row})
                continue
            gone = Draft(
                "reconcile",
                {"decision_id": row["decision_id"], "lease": "gone"},
                {"lease": row["lease"], "broker": row["broker"], "why": row["why"]},
            )
            write({key}, _forgets(key, gone), self._clock())
        return outstanding

    def _revoked_now(self, row: Mapping[str, Any]) -> bool:
        broker = self.brokers.get(row["broker"])
        if broker is None:
            return False
        try:
            leases = [LeaseId(row["lease"])] if row["lease"] else broker.outstanding(Tag(row["decision_id"]))
            answers = [broker.revoke(lease) for lease in leases]
            return not any(isinstance(answer, DiesAt) for answer in answers)
        except Exception as error:  # noqa: BLE001  # tried again at the next reconcile
            log.error("lease %s is still outstanding: %s", row["lease"] or row["decision_id"], words(error))
            return False


def _forgets(key: Key, entry: Draft) -> Callable[[Rows], Step[None]]:
    """Work that deletes a row and says so, if it is still there."""
    return lambda rows: Step(None, {key: Put(None)}, (entry,)) if key in rows else Step(None)


def words(error: Exception) -> str:
    """An error for operators: our own in full, a stranger's by its type, since its text may hold anything."""
    return str(error) if isinstance(error, CigateError) else f"unexpected {type(error).__name__}"


def place(error: Exception) -> str:
    """Where an error was raised, as `file:line`: what can be logged of an error whose text may hold anything."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown place"
