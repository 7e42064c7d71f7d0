"""What agents ask and people answer: sign, submit, approve, reject, status."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from cigate.cli.folder import enrolled, gateway, signer
from cigate.cli.streams import read_input, say, show
from cigate.cli.terminal import inert
from cigate.errors import RequestError
from cigate.gateway import Gateway
from cigate.outcome import Outcome, RunStatus, TicketStatus
from cigate.signing import KeyUse
from cigate.ticket import Ticket
from cigate.wire import ijson

_MORE_WANTED: Final = 11


def sign(arguments: argparse.Namespace) -> int:
    request = _document(arguments.request)
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
        found = opened.status(_id(arguments.id))
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
        if verdict == "reject":
            return _print(opened.reject(own.reject(ticket)))
        before = _answers(opened, ticket)
        outcome = opened.approve(own.approve(ticket))
        code = _print(outcome)
        if code == _MORE_WANTED:
            if _answers(opened, ticket) == before:
                say(f"{enrolled(arguments, KeyUse.APPROVAL).user} has answered already")
            _say_who_is_wanted(outcome, ticket)
        return code


def _answers(opened: Gateway, ticket: Ticket) -> int:
    try:
        found = opened.status(ticket)
    except RequestError:  # the gateway says what is wrong with it
        return 0
    return len(found.answers) if isinstance(found, TicketStatus) else 0


def _say_who_is_wanted(outcome: Outcome, ticket: Ticket) -> None:
    asked = {clause.rule: clause.count for clause in ticket.clauses}
    for want in outcome.decision.wants:
        wanted = asked.get(want.rule, want.count)
        whom = " or ".join(map(inert, want.roles)) or "any approver"
        verb = "is" if want.count == 1 else "are"
        say(f"{wanted - want.count} of {wanted} counted; {want.count} more of {whom} {verb} wanted")


def _ticket(name: str, status: Any) -> Ticket:
    if Path(name).is_file():
        return _kept(name)
    found: TicketStatus | RunStatus = status(_id(name))
    if isinstance(found, RunStatus):
        raise RequestError("approval.unknown-ticket", f"{name} is a run, not a ticket")
    return found.ticket


def _id(name: str) -> str:
    """The name of a ticket or run. Bytes that are no text name nothing, and no store could be asked for them."""
    if not name.isascii():
        raise RequestError(
            "status.unknown", f"there is no ticket or run {name!a}", fix="submit printed its id"
        )
    return name


def _kept(name: str) -> Ticket:
    try:
        return Ticket.from_json(_document(name))
    except RequestError as error:
        if error.code.startswith("request."):
            raise
        fix = "keep what `cigate status TICKET` prints, as it is"
        raise RequestError(error.code, error.message, where=f"{name}{error.where}", fix=fix) from error


def _agree(ticket: Ticket, verdict: str, arguments: argparse.Namespace) -> None:
    """What is signed is what was read: the summary is shown here, and its digest computed here."""
    sys.stderr.write(ticket.summary())
    say(f"digest: {ticket.digest}")
    if arguments.digest is not None:
        if arguments.digest != ticket.digest:
            raise RequestError(
                "approval.mismatch",
                f"{arguments.digest} is not the digest of what is shown above",
                fix="read it again: it is not what you have read before",
            )
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


def _document(name: str) -> dict[str, Any]:
    try:
        found = ijson.parse(read_input(name))
    except ijson.JSONError as error:
        code, where = error.code.replace("json.", "request.", 1), f"{name}:{error.where}"
        raise RequestError(code, error.message, where=where, fix=error.fix) from error
    if not isinstance(found, dict):
        raise RequestError("request.wrong-type", "expected a JSON object", where=name)
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
        say(_unrecorded(outcome))
    return outcome.exit_code


_WHY: Final[Mapping[str, str]] = {
    "attestation.refused": "no key that is enrolled here and valid signed exactly this; the ledger only counts such",
    "attestation.replayed": "this was submitted before: sign it again",
    "attestation.time": "it was not signed just now, or the clocks differ: sign it again",
    "attestation.lifetime": "it is signed for longer than a signature may live: sign it again",
    "attestation.audience": "it was signed for another gateway: the audience in gateway.yaml is the one to name",
    "attestation.owner": "the key belongs to another agent or user than the request names",
    "attestation.mismatch": "a field outside of the signature differs from the signed one",
    "attestation.payload": "what was signed is not a request with aud, iat, exp and jti",
}
"""What the code of a refusal without an entry says to whoever submitted; nothing about keys that they do not hold."""


def _unrecorded(outcome: Outcome) -> str:
    """A refusal without an entry, in words. What is wrong with the bytes themselves is said as it was found."""
    if outcome.code in _WHY:
        return f"{outcome.code}: {_WHY[outcome.code]}"
    if outcome.code.startswith(("attestation.", "gateway.")):
        return outcome.code  # of the gateway's own failures the log has spoken
    return outcome.decision.reasons[0].message
