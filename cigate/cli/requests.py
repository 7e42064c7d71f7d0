"""What agents ask and people answer: sign, submit, approve, reject, status."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from cigate.cli.folder import gateway, read_input, say, show, signer
from cigate.errors import RequestError
from cigate.outcome import Outcome, RunStatus, TicketStatus
from cigate.signing import KeyUse
from cigate.ticket import Ticket
from cigate.wire import ijson


def sign(arguments: argparse.Namespace) -> int:
    request = _document(read_input(arguments.request))
    signed = signer(arguments, KeyUse.REQUEST).sign(request)
    sys.stdout.write(signed.decode() + "\n")
    return 0


def submit(arguments: argparse.Namespace) -> int:
    raw = read_input(arguments.signed)
    with gateway(arguments) as opened:
        return _print(opened.submit(raw.rstrip(b"\r\n")))


def approve(arguments: argparse.Namespace) -> int:
    return _answer(arguments, "approve")


def reject(arguments: argparse.Namespace) -> int:
    return _answer(arguments, "reject")


def status(arguments: argparse.Namespace) -> int:
    with gateway(arguments) as opened:
        found = opened.status(arguments.id)
    if not arguments.output:
        show(found.to_json())
        return 0
    if isinstance(found, TicketStatus) or found.output is None:
        raise RequestError("status.no-output", f"no output is kept for {arguments.id}")
    sys.stdout.buffer.write(found.output)
    sys.stdout.flush()
    return 0


def _answer(arguments: argparse.Namespace, verdict: str) -> int:
    with gateway(arguments) as opened:
        ticket = _ticket(arguments.ticket, lambda name: opened.status(name))
        own = signer(arguments, KeyUse.APPROVAL)
        _agree(ticket, verdict, arguments)
        if verdict == "approve":
            return _print(opened.approve(own.approve(ticket)))
        return _print(opened.reject(own.reject(ticket)))


def _ticket(name: str, status: Any) -> Ticket:
    if Path(name).is_file():
        return Ticket.from_json(_document(read_input(name)))
    found: TicketStatus | RunStatus = status(name)
    if isinstance(found, RunStatus):
        raise RequestError("approval.unknown-ticket", f"{name} is a run, not a ticket")
    return found.ticket


def _agree(ticket: Ticket, verdict: str, arguments: argparse.Namespace) -> None:
    """What is signed is what was read: the summary is shown here, and its digest computed here."""
    sys.stderr.write(ticket.summary())
    say(f"digest: {ticket.digest}")
    if arguments.digest is not None:
        if arguments.digest != ticket.digest:
            raise RequestError("approval.mismatch", "this is not the digest of what is shown above")
        return
    if arguments.yes:
        return
    if not sys.stdin.isatty():
        raise RequestError(
            "approval.unread",
            "nobody is here to read it",
            fix="give --digest D of the summary you have read, or --yes",
        )
    sys.stderr.write(f"{verdict} this? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise RequestError("approval.unread", "nothing was signed")


def _document(raw: bytes) -> dict[str, Any]:
    try:
        found = ijson.parse(raw)
    except ijson.JSONError as error:
        raise RequestError(
            error.code.replace("json.", "request.", 1), error.message, where=error.where, fix=error.fix
        ) from error
    if not isinstance(found, dict):
        raise RequestError("request.type", "expected a JSON object")
    return found


def _print(outcome: Outcome) -> int:
    show(outcome.to_json())
    name = outcome.decision_id
    if outcome.ticket is not None and outcome.exit_code == 11:
        say(
            f"held as {outcome.ticket.id}: people approve it with `cigate approve {outcome.ticket.id} --key …`"
        )
    elif outcome.exit_code != 0 and name is not None:
        say(f"{outcome.code}; operators read why with `cigate status {name}`")
    elif outcome.exit_code != 0:
        say(outcome.code)
    return outcome.exit_code
