"""The gateway's folder: made by `init`, opened by all other verbs."""

from __future__ import annotations

import argparse
import os
from collections.abc import Collection, Mapping
from pathlib import Path

from cigate.cli.examples import GATEWAY_YAML, POLICY_YAML
from cigate.cli.streams import say
from cigate.config import Configuration, read_configuration
from cigate.errors import ConfigError
from cigate.gateway import Gateway, utc_now
from cigate.journal import read_row, scan_rows
from cigate.signing import Algorithm, KeyRecord, KeyUse, Signer, load_private_key, write_key_pair
from cigate.signing.signer import PrivateKey
from cigate.stores import Key, Store, create_store, open_store
from cigate.wire.settings import unknown_name


def init(arguments: argparse.Namespace) -> int:
    """`init DIR` makes a folder to read and use; `init --config FILE` makes the state for a hand-written file."""
    if arguments.folder is not None:
        path = make_folder(Path(arguments.folder))
        written = ["gateway.yaml", "policy.yaml"]
    else:
        path, written = Path(arguments.config), []
        if not path.exists():
            raise ConfigError(
                "init.nothing",
                f"there is no {path}",
                fix="cigate init DIR, or write one and init --config FILE",
            )
        _refuse_other_state(path)
    made = written + make_state(path)
    say(f"made in {path.parent}: {', '.join(made)}")
    say("next, in that folder: keygen, enrol, sign, submit; `cigate --help` lists the verbs")
    return 0


def make_folder(folder: Path) -> Path:
    """A folder with a commented gateway.yaml and policy.yaml, in which nothing is overwritten."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in ("gateway.yaml", "policy.yaml", "state.db", "ledger.key", "ledger.pub"):
        _refuse_to_overwrite(folder / name)
    for name, text in (("gateway.yaml", GATEWAY_YAML), ("policy.yaml", POLICY_YAML)):
        write_once(folder / name, text.encode(), 0o600)
    return folder / "gateway.yaml"


def _refuse_other_state(config: Path) -> None:
    """State is made once, whichever way `init` was called."""
    configuration = read_configuration(config)
    kind, _, name = configuration.store.partition(":")
    if kind == "sqlite":
        _refuse_to_overwrite(configuration.folder / name)


def make_state(config: Path) -> list[str]:
    """Keys, store and ledger for a configuration that has none. The names of the files that were made.

    What may fail comes before the store, so that a mistake in the configuration can be put right and init run again.
    """
    configuration = read_configuration(config)
    configuration.load()
    configuration.pipelines()
    key, public = configuration.ledger_key(), configuration.ledger_public_key()
    made: list[Path] = []
    if isinstance(key, Path) and not key.exists():
        _refuse_to_overwrite(public)
        made.append(key)
        write_key_pair(key, algorithm=Algorithm.ED25519).unlink()
    if not public.exists() or public.read_bytes() != public_pem(key):
        made.append(write_once(public, public_pem(key), 0o644))
    made += configuration.make_broker_keys()
    configuration.brokers(live=lambda _: False, clock=utc_now)
    create_store(configuration.store, folder=configuration.folder).close()
    Gateway.from_config(config).close()
    return [path.name for path in made] + [configuration.store.partition(":")[2]]


def gateway(arguments: argparse.Namespace) -> Gateway:
    """The gateway of `--config`, or of this folder."""
    return Gateway.from_config(arguments.config)


def configuration(arguments: argparse.Namespace) -> Configuration:
    return read_configuration(arguments.config)


def signer(arguments: argparse.Namespace, use: KeyUse) -> Signer:
    """The signer of `--key`: its enrolment id is looked up by the public key, the audience is the folder's.

    Raises:
        ConfigError: as `enrolled`.
    """
    record = enrolled(arguments, use)
    return Signer.from_pem(arguments.key, key_id=record.id, audience=configuration(arguments).audience)


def enrolled(arguments: argparse.Namespace, use: KeyUse) -> KeyRecord:
    """The record under which the key of `--key` is enrolled here.

    Raises:
        ConfigError: `key.not-enrolled`; `key.use`: it was enrolled to sign something else.
    """
    found = configuration(arguments)
    given = KeyRecord.enrol(public_pem(Path(arguments.key)), id="unknown", use="policy")
    by_thumbprint = Key("thumbprint", given.thumbprint)
    store = open_store(found.store, folder=found.folder)
    try:
        row = store.read([by_thumbprint]).get(by_thumbprint)
        if row is None:
            raise ConfigError(
                "key.not-enrolled",
                f"the key in {arguments.key} is not enrolled here",
                fix=f"cigate enrol {arguments.key}.pub --use {use.value} --id …",
            )
        by_id = Key("key", read_row(row)["id"])
        record = KeyRecord.from_json(read_row(store.read([by_id])[by_id]))
    finally:
        store.close()
    if record.use is not use:
        raise ConfigError(
            "key.use",
            f"{record.id} was enrolled for use {record.use.value}, and this takes one for {use.value}",
            fix="a key has one use: make another one with cigate keygen",
        )
    return record


def public_pem(key: Path | PrivateKey) -> bytes:
    """The public half (SPKI PEM) of a private key, or of the file that holds one."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    private = load_private_key(key) if isinstance(key, Path) else key
    return private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def check_known(configuration: Configuration, store: Store, scope: str) -> None:
    """Whether there is what a stop names: a stop of something misspelled stops nothing.

    A key, an action or a pipeline that nobody knows is refused; an agent, user or device may yet come, and is noted.

    Raises:
        ConfigError: `config.unknown-key`, `config.unknown-action`, `config.unknown-pipeline`, with the nearest name.
    """
    kind, _, name = scope.partition(":")
    records = [KeyRecord.from_json(row) for row in scan_rows(store, "key")]
    known: Mapping[str, Collection[str | None]] = {
        "key": [record.id for record in records],
        "agent": [*configuration.names("agents"), *(record.agent for record in records)],
        "user": [*configuration.names("users"), *(record.user for record in records)],
        "device": [*configuration.names("devices"), *(record.device for record in records)],
        "action": configuration.names("actions"),
        "pipeline": configuration.names("pipelines"),
    }
    if name in known.get(kind, [name]):
        return
    error = unknown_name(kind, name, {each for each in known[kind] if each}, "")
    if kind in ("key", "action", "pipeline"):
        raise error
    say(f"note: no {kind} {name} is configured or enrolled here ({error.fix})")


def _refuse_to_overwrite(path: Path) -> None:
    if path.exists():
        raise ConfigError(
            "init.exists", f"{path} is there already", fix="init never overwrites: choose another folder"
        )


def write_once(path: Path, content: bytes, mode: int) -> Path:
    """Write a new file; one that is there is an error.

    Raises:
        ConfigError: `init.exists`.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        _refuse_to_overwrite(path)
        raise
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    return path
