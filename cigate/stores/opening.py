"""From the URI in a configuration to a store: `sqlite:state.db`, `memory:`, or an engine from elsewhere."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol

from cigate.errors import ConfigError
from cigate.stores.store import Store

_GROUP = "cigate.stores"


class Engine(Protocol):
    """What an entry point of the group `cigate.stores` names: its name is the URI's scheme."""

    def from_uri(self, rest: str, *, folder: Path) -> Store:
        """Open what follows the scheme's colon; `folder` is the configuration's.

        Raises:
            StoreUnavailable: it is missing or can't be used; it is never made here.
            ConfigError: the URI makes no sense.
        """

    def create_from_uri(self, rest: str, *, folder: Path) -> Store:
        """Make it, new and empty.

        Raises:
            StoreUnavailable: `store.exists`, or it can't be made.
            ConfigError: the URI makes no sense.
        """


def open_store(uri: str, *, folder: Path) -> Store:
    """The store that a configuration in `folder` names.

    Raises:
        ConfigError: `store.scheme`, `store.uri`.
        StoreUnavailable: it is missing, or can't be used.
    """
    engine, rest = _engine(uri)
    return engine.from_uri(rest, folder=folder)


def create_store(uri: str, *, folder: Path) -> Store:
    """The same, made new and empty.

    Raises:
        ConfigError: `store.scheme`, `store.uri`.
        StoreUnavailable: `store.exists`, or it can't be made.
    """
    engine, rest = _engine(uri)
    return engine.create_from_uri(rest, folder=folder)


def _engine(uri: str) -> tuple[Engine, str]:
    scheme, colon, rest = uri.partition(":")
    if not colon:
        raise ConfigError("store.uri", f"{uri!r} is not a URI such as sqlite:state.db")
    if scheme == "sqlite":
        if not rest or rest.startswith("//"):
            raise ConfigError("store.uri", f"{uri!r} names no file", fix="write sqlite:state.db")
        from cigate.stores.sqlite import SQLiteStore

        return SQLiteStore, rest
    if scheme == "memory":
        from cigate.stores.memory import MemoryStore

        return MemoryStore, rest
    others = {found.name: found for found in entry_points(group=_GROUP)}
    if scheme not in others:
        known = ", ".join(sorted({"sqlite", "memory", *others}))
        raise ConfigError("store.scheme", f"no store is called {scheme!r}", fix=f"known are: {known}")
    loaded: Engine = others[scheme].load()
    return loaded, rest
