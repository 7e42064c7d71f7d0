"""A configuration names its store by a URI."""

from __future__ import annotations

from pathlib import Path

import pytest

from cigate.errors import ConfigError, StoreUnavailable
from cigate.stores import create_store, open_store
from cigate.stores.memory import MemoryStore
from cigate.stores.sqlite import SQLiteStore


def test_a_sqlite_uri_is_relative_to_the_folder_of_the_configuration(tmp_path: Path) -> None:
    create_store("sqlite:state.db", folder=tmp_path).close()
    store = open_store("sqlite:state.db", folder=tmp_path)
    assert isinstance(store, SQLiteStore)
    assert store.path == tmp_path / "state.db"
    assert isinstance(open_store(f"sqlite:{tmp_path / 'state.db'}", folder=Path("/elsewhere")), SQLiteStore)


def test_opening_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable) as refused:
        open_store("sqlite:state.db", folder=tmp_path)
    assert refused.value.code == "store.missing"
    assert list(tmp_path.iterdir()) == []


def test_a_memory_uri_is_a_new_store_each_time(tmp_path: Path) -> None:
    assert isinstance(open_store("memory:", folder=tmp_path), MemoryStore)
    assert isinstance(create_store("memory:", folder=tmp_path), MemoryStore)


@pytest.mark.parametrize(
    ("uri", "code"),
    [
        ("state.db", "store.uri"),
        ("sqlite:", "store.uri"),
        ("sqlite:///state.db", "store.uri"),
        ("memory:shared", "store.uri"),
        ("sqlitee:state.db", "store.scheme"),
        ("SQLite:state.db", "store.scheme"),
        (":state.db", "store.scheme"),
    ],
)
def test_a_uri_that_names_no_store_is_refused(uri: str, code: str, tmp_path: Path) -> None:
    for door in (open_store, create_store):
        with pytest.raises(ConfigError) as refused:
            door(uri, folder=tmp_path)
        assert refused.value.code == code
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_scheme_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="memory, sqlite"):
        open_store("postgress://db", folder=tmp_path)
