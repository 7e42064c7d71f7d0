"""Policies: checked, tried on documents of facts, explained."""

from __future__ import annotations

import argparse
from pathlib import Path

from cigate.cli.folder import read_input, say, show
from cigate.config import read_configuration, schema_of
from cigate.decision import Decision, Effect
from cigate.errors import CigateError, RequestError
from cigate.facts import Schema
from cigate.ledger import BIGGEST_ENTRY
from cigate.policy import PolicyEngine
from cigate.wire import ijson

_EXIT = {Effect.ALLOW: 0, Effect.DENY: 10, Effect.REQUIRE_APPROVAL: 11, Effect.THROTTLE: 12}


def check(arguments: argparse.Namespace) -> int:
    engine = _from_file(arguments.file, arguments)
    show(
        {
            "name": engine.name,
            "sequence": engine.sequence,
            "digest": engine.digest,
            "rules": len(engine.rules),
        }
    )
    return 0


def decide(arguments: argparse.Namespace) -> int:
    decision = _decide(arguments)
    show(decision.to_json())
    return _EXIT[decision.effect]


def explain(arguments: argparse.Namespace) -> int:
    decision = _decide(arguments)
    print(decision.explain())
    return _EXIT[decision.effect]


def _decide(arguments: argparse.Namespace) -> Decision:
    raw = read_input(arguments.facts)
    try:
        facts = ijson.parse(raw, limits=ijson.Limits(octets=2 * BIGGEST_ENTRY))
    except ijson.JSONError as error:
        raise RequestError(
            error.code, error.message, where=f"{arguments.facts}:{error.where}", fix=error.fix
        ) from error
    if not isinstance(facts, dict):
        raise RequestError("facts.type", "expected a JSON object of facts", where=arguments.facts)
    if facts.get("kind") == "decision":
        facts = _decided_on(facts)
    return _engine(arguments).decide(facts)


def _decided_on(entry: dict[str, ijson.Json]) -> dict[str, ijson.Json]:
    """The facts in an entry of the ledger, as `ledger show N` prints it."""
    private = entry.get("private")
    facts = private.get("facts") if isinstance(private, dict) else None
    if not isinstance(facts, dict):
        raise RequestError("facts.missing", "this was refused before there were facts to decide on")
    return facts


def _engine(arguments: argparse.Namespace) -> PolicyEngine:
    if arguments.policy:
        return _from_file(arguments.policy, arguments)
    return read_configuration(arguments.config).load().policy


def _from_file(path: str, arguments: argparse.Namespace) -> PolicyEngine:
    """A policy, held against the actions' own schemas where there is a folder; else parameters are dynamic."""
    schema, doubt = Schema.default(), ""
    if Path(arguments.config).exists():
        try:
            schema = schema_of(read_configuration(arguments.config).actions())
        except CigateError as error:
            doubt = f"note: the actions do not load, so names and parameters are not checked: {error}"
    engine = PolicyEngine.from_path(path, schema=schema)
    if doubt:
        say(doubt)
    return engine
