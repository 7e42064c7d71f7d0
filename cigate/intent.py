"""What was decided to be done, and which process answers for it."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any

from attrs import frozen

from cigate.action import Price
from cigate.decision import DecisionId
from cigate.money import Money
from cigate.stores import Key
from cigate.wire.times import parse_timestamp, timestamp


@frozen
class Intent:
    """What was decided to be done, durable before any of it is: enough to find and undo it after a crash."""

    decision_id: DecisionId
    owner: str
    key: str
    agent: str
    user: str
    device: str
    action: str
    pipeline: str
    broker: str
    profile: str
    audience: str
    ttl: timedelta
    price: Price | None
    reserved: Money | None
    budget: str
    policy_digest: str
    config_digest: str
    begun: datetime

    @property
    def row(self) -> Key:
        return Key("intent", self.decision_id)

    def to_json(self) -> dict[str, Any]:
        return {
            "decision_id": self.decision_id,
            "owner": self.owner,
            "key": self.key,
            "agent": self.agent,
            "user": self.user,
            "device": self.device,
            "action": self.action,
            "pipeline": self.pipeline,
            "broker": self.broker,
            "profile": self.profile,
            "audience": self.audience,
            "ttl": self.ttl // timedelta(seconds=1),
            "price": self.price.to_json() if self.price else None,
            "reserved": {"amount": self.reserved.minor, "currency": self.reserved.currency}
            if self.reserved
            else None,
            "budget": self.budget,
            "policy_digest": self.policy_digest,
            "config_digest": self.config_digest,
            "begun": timestamp(self.begun),
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Intent:
        reserved, price = row["reserved"], row["price"]
        return cls(
            **{
                **row,
                "ttl": timedelta(seconds=row["ttl"]),
                "price": Price(**price) if price else None,
                "reserved": Money(reserved["amount"], reserved["currency"]) if reserved else None,
                "begun": parse_timestamp(row["begun"]),
            }
        )


class Owner:
    """This process, as the one that answers for its intents: an id, and an exclusive lock that dies with it."""

    def __init__(self, lock: Callable[[str], AbstractContextManager[None]]) -> None:
        self._lock = lock
        self._guard = threading.Lock()
        self._pid = 0
        self._id = ""
        self._held: AbstractContextManager[None] | None = None

    @property
    def id(self) -> str:
        """The id in this process; a new one after a fork."""
        with self._guard:
            if self._pid != os.getpid():
                self._id = secrets.token_hex(8)
                self._held = self._lock(f"owner-{self._id}")
                self._held.__enter__()
                self._pid = os.getpid()
            return self._id

    def holds(self, owner: str) -> bool:
        with self._guard:
            return self._pid == os.getpid() and owner == self._id

    def release(self) -> None:
        with self._guard:
            if self._held is not None and self._pid == os.getpid():
                self._held.__exit__(None, None, None)
            self._held, self._pid = None, 0
