"""The verbs and their arguments. Each verb's own module is imported only when it runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Final, Self

Verb = Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb. Gives the exit code; never a traceback for what a user can cause."""
    given = sys.argv[1:] if argv is None else argv
    arguments = command_line(_asked(given)).parse_args(given)
    from cigate.errors import (
        BackendError,
        CigateError,
        LedgerError,
    )  # asking for help needs no more than argparse

    try:
        return _verb(arguments.verb)(arguments)
    except (BackendError, LedgerError) as error:
        print(f"cigate: {error}", file=sys.stderr)
        return 3
    except CigateError as error:
        print(error if arguments.verb.startswith("policy.") else f"cigate: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        print(f"cigate: {place}{error.strerror or error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("cigate: interrupted", file=sys.stderr)
        return 1


def _verb(name: str) -> Verb:
    module, function = name.rsplit(".", 1)
    found: Verb = getattr(import_module(f"cigate.cli.{module}"), function)
    return found


def _max_age(text: str) -> int:
    """Seconds, within a hundred years either way."""
    found = int(text)
    if abs(found) > 100 * 366 * 86_400:
        raise ValueError(text)
    return found


_max_age.__name__ = "age in seconds"  # argparse says "invalid NAME value"


class _Version(argparse.Action):
    """Prints the version of the distribution; it is looked up only when somebody asks."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version  # searches the path, which takes longer than most verbs

        print(f"cigate {version('cigate-sdk')}")
        parser.exit()


class _NotAsked:
    """Stands for the parser of a verb that nobody asked for: making all of them takes longer than most verbs."""

    def take(self, *_: Any, **__: Any) -> Self:
        """Whatever is added to it comes to nothing."""
        return self

    add_argument = add_mutually_exclusive_group = add_parser = add_subparsers = set_defaults = take


class _Verbs:
    """The verbs, of which only the one that was asked for gets a parser."""

    def __init__(self, parsers: Any, asked: str) -> None:
        self.parsers, self.asked = parsers, asked

    def add_parser(self, name: str, **words: str) -> Any:
        return self.parsers.add_parser(name, **words) if name == self.asked else _NotAsked()


def _asked(given: Sequence[str]) -> str:
    """The verb, if it comes first but for `--config`; else there is none, and every parser may be needed."""
    rest = list(given)
    while rest and rest[0].startswith("--config"):
        del rest[: 1 if "=" in rest[0] else 2]
    return rest[0] if rest and rest[0] in VERBS else ""


VERBS: Final = frozenset(
    (
        *("init", "demo", "keygen", "enrol", "revoke", "sign", "submit", "approve", "reject", "status"),
        *("halt", "resume", "reconcile", "health", "backup", "adopt", "ledger", "policy"),
    )
)


def command_line(asked: str = "") -> argparse.ArgumentParser:
    """The command line, which the reference in docs is generated from.

    Args:
        asked: the one verb whose parser is needed; empty: all of them.
    """
    parser = argparse.ArgumentParser(
        prog="cigate",
        description="A CI gateway: attest, decide, broker, run and prove what desktop agents ask of CI.",
        epilog="Verbs run in the gateway's folder, or take --config FILE. Start with: cigate demo",
    )
    parser.add_argument(
        "--config", metavar="FILE", default="gateway.yaml", help="the gateway.yaml (default: in this folder)"
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="the version of cigate, and no more")
    verbs: Any = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    if asked:
        verbs = _Verbs(verbs, asked)

    def verb(under: Any, name: str, function: str, text: str) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = under.add_parser(name, help=text, description=text)
        made.add_argument("--config", metavar="FILE", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        made.set_defaults(verb=function)
        return made

    made = verb(
        verbs, "init", "folder.init", "make a commented gateway folder, or the state for --config FILE"
    )
    made.add_argument("folder", metavar="DIR", nargs="?")
    made = verb(
        verbs, "demo", "demo.demo", "the guided tour: real requests through a real gateway; its folder stays"
    )
    made.add_argument("--dir", metavar="DIR", help="where to make the demo's folder (default: ./cigate-demo)")

    made = verb(verbs, "keygen", "keys.keygen", "make a key pair: FILE (mode 600) and FILE.pub")
    made.add_argument("file", metavar="FILE")
    made.add_argument("--algorithm", choices=("ecdsa-p256-sha256", "ed25519"), default="ecdsa-p256-sha256")
    made = verb(verbs, "enrol", "keys.enrol", "enrol a public key, once, ever")
    made.add_argument("key", metavar="KEY.pub")
    made.add_argument("--id", required=True)
    made.add_argument("--use", required=True, choices=("request", "approval", "policy", "operator"))
    made.add_argument("--agent")
    made.add_argument("--user")
    made.add_argument("--device")
    made.add_argument(
        "--encoding", choices=("der", "raw"), default="der", help="how P-256 signatures are written"
    )
    made.add_argument("--valid-from", metavar="TIME")
    made.add_argument("--valid-until", metavar="TIME")
    made = verb(verbs, "revoke", "keys.revoke", "revoke a key for good (or agent:ID, user:ID, device:ID)")
    made.add_argument("id", metavar="ID")
    made.add_argument("reason", metavar="REASON", nargs="?", default="revoked by an operator")

    made = verb(verbs, "sign", "requests.sign", "sign a request; audience and key id come from the folder")
    made.add_argument("request", metavar="REQUEST.json")
    made.add_argument("--key", metavar="K", required=True, help="the private key's file")
    made = verb(
        verbs, "submit", "requests.submit", "take a signed request through the gateway, to the end of its run"
    )
    made.add_argument("signed", metavar="SIGNED.json", help="a file, or - for stdin")
    for name in ("approve", "reject"):
        made = verb(verbs, name, f"requests.{name}", f"{name} a held request, signed with your own key")
        made.add_argument("ticket", metavar="TICKET", help="a ticket's id, or the JSON that status printed")
        made.add_argument("--key", metavar="K", required=True, help="the private key's file")
        made.add_argument("--digest", metavar="D", help="the digest of the summary that you have read")
        made.add_argument("--yes", action="store_true", help="sign without asking")
    made = verb(verbs, "status", "requests.status", "a ticket or a run, as it stands")
    made.add_argument("id", metavar="TICKET|RUN")
    made.add_argument(
        "--output", action="store_true", help="what the job printed, scrubbed of the literal secret"
    )

    for name, text in (("halt", "stop: nothing more starts"), ("resume", "lift a halt, or all halts")):
        made = verb(verbs, name, f"operate.{name}", text)
        scope = made.add_mutually_exclusive_group()
        scope.add_argument("--agent", metavar="X")
        scope.add_argument("--action", metavar="X")
        scope.add_argument("--pipeline", metavar="X")
        made.add_argument("reason", metavar="REASON")
    made = verb(
        verbs, "reconcile", "operate.reconcile", "undo what dead processes left, and retry what failed"
    )
    made.add_argument("--watch", action="store_true", help="go on until nothing is outstanding")
    verb(verbs, "health", "operate.health", "how the gateway stands")
    made = verb(verbs, "backup", "operate.backup", "a consistent copy of live state")
    made.add_argument("file", metavar="FILE")
    made = verb(verbs, "adopt", "operate.adopt", "go on with a restored copy: a new epoch")
    made.add_argument("reason", metavar="REASON")

    ledger = verbs.add_parser("ledger", help="read, prove and verify the ledger").add_subparsers(
        metavar="VERB", required=True
    )
    verb(ledger, "export", "ledger.export", "every entry as JSON Lines, with the signed checkpoint last")
    verb(ledger, "checkpoint", "ledger.checkpoint", "the signed checkpoint: keep it outside")
    made = verb(ledger, "verify", "ledger.verify", "verify the ledger, or an export, byte for byte")
    made.add_argument("export", metavar="EXPORT", nargs="?")
    made.add_argument("--checkpoint", metavar="FILE", help="a signed checkpoint that was kept outside")
    made.add_argument(
        "--public-key", metavar="K", help="the ledger's public key (default: ledger.pub in the folder)"
    )
    made = verb(ledger, "prove", "ledger.prove", "the proof that an entry is in the ledger")
    made.add_argument("index", metavar="N", type=int)
    made = verb(ledger, "show", "ledger.show_entries", "an entry, or all")
    made.add_argument("index", metavar="N", type=int, nargs="?")
    made = verb(ledger, "check-receipt", "ledger.check_receipt", "check a receipt offline; fails closed")
    made.add_argument("file", metavar="FILE")
    made.add_argument("--public-key", metavar="K", required=True)
    made.add_argument("--expect", metavar="EFFECT")
    made.add_argument("--audience", metavar="A")
    made.add_argument("--commit", metavar="C")
    made.add_argument("--decision", metavar="ID")
    made.add_argument("--max-age", metavar="S", type=_max_age, help="seconds")
    made = verb(
        ledger, "replay", "ledger.replay", "decide every entry again; exit 1 and the differences, if any"
    )
    made.add_argument("--policy", metavar="FILE", help="decide by this policy instead")

    policy = verbs.add_parser("policy", help="check, try and explain policies").add_subparsers(
        metavar="VERB", required=True
    )
    made = verb(policy, "check", "policy.check", "load a policy; errors as FILE:LINE:COLUMN: code: text")
    made.add_argument("file", metavar="FILE")
    made.add_argument(
        "--second-opinion",
        action="store_true",
        help="evaluate its expressions in cel-python too, over cases made from them; exit 1 if they differ",
    )
    for name, text in (("decide", "decide on a document of facts"), ("explain", "the same, in words")):
        made = verb(policy, name, f"policy.{name}", text)
        made.add_argument(
            "facts", metavar="FACTS.json", help="facts, or an entry as `ledger show N` prints it; - for stdin"
        )
        made.add_argument("--policy", metavar="FILE", help="default: the policy of the folder")
    return parser
