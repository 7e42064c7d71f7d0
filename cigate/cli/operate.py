"""What operators do: halt, resume, reconcile, look after health, back up, adopt."""

from __future__ import annotations

import argparse
import threading
from pathlib import Path

from cigate.cli.folder import check_known, configuration, gateway
from cigate.cli.streams import say, show
from cigate.effects import wait_for_starters
from cigate.errors import ConfigError
from cigate.gateway import DRAIN, SKEW, utc_now
from cigate.state import State, anchor_of
from cigate.state import adopt as adopt_state
from cigate.stores import open_store

_WATCH_SECONDS = 5


def halt(arguments: argparse.Namespace) -> int:
    """A halt reads where the state is, and neither policy nor actions: it works when those do not load."""
    found, scope = configuration(arguments), _scope(arguments)
    store = open_store(found.store, folder=found.folder)
    state = State.open(
        store, audience=found.audience, ledger_key=found.ledger_key(), clock=utc_now, skew=SKEW
    )
    try:
        if scope is not None:
            check_known(found, store, scope)
        state.halt(arguments.reason, scope)
        done = wait_for_starters(store, DRAIN)
    finally:
        state.close()
    if done.drained:
        say(f"halted: nothing more {f'of {scope} ' if scope else ''}starts")
        return 0
    say(f"halted, but these were starting and have not drained: {', '.join(done.starters) or 'unknown'}")
    return 3


def resume(arguments: argparse.Namespace) -> int:
    scope = _scope(arguments)
    with gateway(arguments) as opened:
        before = opened.health()["stops"]
        opened.resume(arguments.reason, scope=scope)
        after = opened.health()["stops"]
    lifted = [stop["scope"] for stop in before if stop not in after]
    say(f"resumed: {', '.join(lifted)}" if lifted else f"nothing was halted{f' at {scope}' if scope else ''}")
    for stop in after:
        say(f"still in force: {stop['kind']} of {stop['scope']}: {stop['reason']}")
    return 0


def reconcile(arguments: argparse.Namespace) -> int:
    with gateway(arguments) as opened:
        outstanding = opened.reconcile()
        while outstanding and arguments.watch:
            say(f"{len(outstanding)} outstanding")
            threading.Event().wait(_WATCH_SECONDS)
            outstanding = opened.reconcile()
    show({"outstanding": list(outstanding)})
    return 1 if outstanding else 0


def health(arguments: argparse.Namespace) -> int:
    with gateway(arguments) as opened:
        found = opened.health()
    show(found)
    return 1 if found["outstanding"] else 0


def backup(arguments: argparse.Namespace) -> int:
    found, copy = configuration(arguments), Path(arguments.file)
    if copy.exists():
        raise ConfigError(
            "backup.exists", f"{copy} is there already", fix="a backup never overwrites: choose another name"
        )
    store = open_store(found.store, folder=found.folder)
    try:
        store.backup(copy)
        anchor = anchor_of(store)
        if anchor is not None:
            anchor.sync()
    finally:
        store.close()
    say(
        f"backed up to {arguments.file}; to go on with it: put it in the state's place, then cigate adopt REASON"
    )
    return 0


def adopt(arguments: argparse.Namespace) -> int:
    found = configuration(arguments)
    store = open_store(found.store, folder=found.folder)
    try:
        head, began = adopt_state(
            store,
            audience=found.audience,
            ledger_key=found.ledger_key(),
            reason=arguments.reason,
            clock=utc_now,
        )
    finally:
        store.close()
    # so that what is signed next counts
    threading.Event().wait(max(0.0, (began - utc_now()).total_seconds()))
    with gateway(arguments) as opened:
        outstanding = opened.reconcile()
    show({"epoch": head.epoch, "origin": head.origin, "size": head.size, "outstanding": list(outstanding)})
    return 1 if outstanding else 0


def _scope(arguments: argparse.Namespace) -> str | None:
    for kind in ("agent", "action", "pipeline"):
        name = getattr(arguments, kind)
        if name is not None:
            if not name:
                raise ConfigError("halt.scope", f"--{kind} needs a name")
            return f"{kind}:{name}"
    return None
