"""From the URI in a configuration to a store: `sqlite:state.db`, `memory:`, or an engine from elsewhere."""

from __future__ import annotations

import os
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol

from cigate.errors import ConfigError
from cigate.stores.store import Store

_GROUP = "cigate.stores"
_BUILT_IN = ("sqlite", "memory")


class OpenStore(Store, Protocol):
    """A store as its owner has it: it can be copied and closed."""

    def backup(self, path: str | os.PathLike[str]) -> None:
        """Write a consistent copy, as of now, to a new file.

        Raises:
            StoreUnavailable: `store.exists`, or it can't be copied.
        """

    def close(self) -> None:
        """Let go of what it holds outside; operations afterwards may be refused."""


class Engine(Protocol):
    """What an entry point of the group `cigate.stores` names: its name is the URI's scheme."""

    def from_uri(self, rest: str, *, folder: Path) -> OpenStore:
        """Open what follows the scheme's colon; `folder` is the configuration's.

        Raises:
            StoreUnavailable: it is missing or can't be used; it is never made here.
            ConfigError: the URI makes no sense.
        """

    def create_from_uri(self, rest: str, *, folder: Path) -> OpenStore:
        """Make it, new and empty.

        Raises:
            StoreUnavailable: `store.exists`, or it can't be made.
            ConfigError: the URI makes no sense.
        """


def open_store(uri: str, *, folder: Path) -> OpenStore:
    """The store that a configuration in `folder` names.

    Raises:
        ConfigError: `store.scheme`, `store.uri`.
        StoreUnavailable: it is missing, or can't be used.
    """
    engine, rest = _engine(uri)
    return engine.from_uri(rest, folder=folder)


def create_store(uri: str, *, folder: Path) -> OpenStore:
    """The same, made new and empty.

    Raises:
        ConfigError: `store.scheme`, `store.uri`.
        StoreUnavailable: `store.exists`, or it can't be made.
    """
    engine, rest = _engine(uri)
    return engine.create_from_uri(rest, folder=folder)


def check_uri(uri: str) -> str:
    """The URI, if there is an engine of its scheme. Nothing is opened.

    Raises:
        ConfigError: `store.scheme`, `store.uri`.
    """
    scheme, colon, rest = uri.partition(":")
    if not colon:
        raise ConfigError("store.uri", f"{uri!r} is not a URI such as sqlite:state.db")
    if scheme == "sqlite" and (not rest or rest.startswith("//")):
        raise ConfigError("store.uri", f"{uri!r} names no file", fix="write sqlite:state.db")
    if scheme not in _BUILT_IN and not entry_points(group=_GROUP, name=scheme):
        known = {*_BUILT_IN, *entry_points(group=_GROUP).names}
        raise ConfigError(
            "store.scheme", f"no store is called {scheme!r}", fix=f"known are: {', '.join(sorted(known))}"
        )
    return uri


def _engine(uri: str) -> tuple[Engine, str]:
    scheme, _, rest = check_uri(uri).partition(":")
    if scheme == "sqlite":
        from cigate.stores.sqlite import SQLiteStore

        return SQLiteStore, rest
    if scheme == "memory":
        from cigate.stores.memory import MemoryStore

        return MemoryStore, rest
    loaded: Engine = next(iter(entry_points(group=_GROUP, name=scheme))).load()
    return loaded, rest
