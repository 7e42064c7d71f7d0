"""Both engines keep the contract of a store."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from cigate.stores import Store
from cigate.stores.memory import MemoryStore
from cigate.stores.sqlite import SQLiteStore
from cigate.testing.stores import StoreContract


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def make_store(self) -> Callable[[], Store]:
        return MemoryStore


class TestSQLiteStore(StoreContract):
    @pytest.fixture
    def make_store(self, tmp_path: Path) -> Callable[[], Store]:
        numbers = count()
        return lambda: SQLiteStore.create(tmp_path / f"state-{next(numbers)}.db")
