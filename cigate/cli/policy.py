"""Policies: checked, tried on documents of facts, explained."""

from __future__ import annotations

import argparse
import os
from typing import Final

from cigate.cli.streams import read_input, say, show
from cigate.decision import Decision, Effect
from cigate.errors import ConfigError, RequestError
from cigate.facts import Schema
from cigate.policy import PolicyEngine
from cigate.wire import ijson

_LONGEST_FACTS: Final = 2 * 1024 * 1024
"""Octets of a document of facts: as much as two entries of the ledger, which may be given for one."""

_EXIT = {Effect.ALLOW: 0, Effect.DENY: 10, Effect.REQUIRE_APPROVAL: 11, Effect.THROTTLE: 12}


def check(arguments: argparse.Namespace) -> int:
    engine = _from_file(arguments.file, arguments)
    said: dict[str, object] = {
        "name": engine.name,
        "sequence": engine.sequence,
        "digest": engine.digest,
        "rules": len(engine.rules),
    }
    if not arguments.second_opinion:
        show(said)
        return 0
    from cigate.policy.second_opinion import second_opinion  # imports another engine, for whoever asks

    opinion = second_opinion(engine.text, engine.schema, arguments.file)
    for difference in opinion.differences:
        say(str(difference))
    show({**said, "second_opinion": opinion.to_json()})
    return 1 if opinion.differences else 0


def decide(arguments: argparse.Namespace) -> int:
    decision = _decide(arguments)
    show(decision.to_json())
    return _EXIT[decision.effect]


def explain(arguments: argparse.Namespace) -> int:
    decision = _decide(arguments)
    print(decision.explain())
    return _EXIT[decision.effect]


def _decide(arguments: argparse.Namespace) -> Decision:
    raw = read_input(arguments.facts, most=_LONGEST_FACTS)
    try:
        facts = ijson.parse(raw, limits=ijson.Limits(octets=_LONGEST_FACTS))
    except ijson.JSONError as error:
        raise RequestError(
            error.code, error.message, where=f"{arguments.facts}:{error.where}", fix=error.fix
        ) from error
    if not isinstance(facts, dict):
        raise RequestError("facts.type", "expected a JSON object of facts", where=arguments.facts)
    if {"index", "kind", "public"} <= facts.keys():
        facts = _decided_on(facts, arguments.facts)
    return _engine(arguments).decide(facts)


def _decided_on(entry: dict[str, ijson.Json], name: str) -> dict[str, ijson.Json]:
    """The facts in an entry of the ledger, as `ledger show N` prints it."""
    if entry["kind"] != "decision":
        raise RequestError(
            "facts.not-a-decision",
            f"this entry of the ledger is of the kind {entry['kind']!r}, and only a decision has facts",
            where=name,
            fix="`cigate ledger show` lists the entries with their kinds",
        )
    private = entry.get("private")
    facts = private.get("facts") if isinstance(private, dict) else None
    if not isinstance(facts, dict):
        raise RequestError(
            "facts.missing", "this was refused before there were facts to decide on", where=name
        )
    return facts


def _engine(arguments: argparse.Namespace) -> PolicyEngine:
    if arguments.policy is not None:
        return _from_file(arguments.policy, arguments)
    from cigate.config import read_configuration

    return read_configuration(arguments.config).policy()


def _from_file(path: str, arguments: argparse.Namespace) -> PolicyEngine:
    """A policy, held against the actions' own schemas where there is a folder; else parameters are dynamic."""
    if not path:
        raise RequestError("input.unreadable", "the name of the policy's file is empty")
    schema = Schema.default()
    if os.path.lexists(arguments.config):
        from cigate.config import read_configuration, schema_of

        try:
            schema = schema_of(read_configuration(arguments.config).actions())
        except ConfigError:
            PolicyEngine.from_path(path)  # it may be the folder's own policy: what is wrong in it comes first
            raise
    return PolicyEngine.from_path(path, schema=schema)
