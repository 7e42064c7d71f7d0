"""State: transactions over rows.

In come keys and a pure function over their rows; out go writes that became durable together. What must
always hold: a change happens wholly or not at all, as if nothing ran between its reads and its writes,
and it is acknowledged only when it is durable. Engines are modules named for their product; `open_store`
finds one by the URI of the configuration, and loads no other.
"""

from cigate.stores.opening import Engine, OpenStore, check_uri, create_store, open_store
from cigate.stores.store import CREATED, Change, Key, LockMode, Put, Rows, Store

__all__ = [
    "CREATED",
    "Change",
    "Engine",
    "Key",
    "LockMode",
    "OpenStore",
    "Put",
    "Rows",
    "Store",
    "check_uri",
    "create_store",
    "open_store",
]
