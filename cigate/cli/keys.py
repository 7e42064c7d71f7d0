"""Keys: made, enrolled once, revoked for good."""

from __future__ import annotations

import argparse
from contextlib import closing
from datetime import datetime
from pathlib import Path

from cigate.cli.folder import check_known, configuration, gateway
from cigate.cli.streams import read_input, say, show
from cigate.errors import ConfigError
from cigate.signing import KeyRecord, write_key_pair
from cigate.stores import open_store
from cigate.wire.times import parse_timestamp


def keygen(arguments: argparse.Namespace) -> int:
    public = write_key_pair(Path(arguments.file), algorithm=arguments.algorithm)
    say(f"made {arguments.file} (keep it where it is) and {public} (have it enrolled)")
    return 0


def enrol(arguments: argparse.Namespace) -> int:
    record = KeyRecord.enrol(
        read_input(arguments.key),
        id=arguments.id,
        use=arguments.use,
        agent=arguments.agent,
        user=arguments.user,
        device=arguments.device,
        encoding=arguments.encoding,
        valid_from=_moment(arguments.valid_from),
        valid_until=_moment(arguments.valid_until),
    )
    with gateway(arguments) as opened:
        opened.enrol(record)
    show({"id": record.id, "use": record.use.value, "thumbprint": record.thumbprint})
    return 0


def revoke(arguments: argparse.Namespace) -> int:
    found = configuration(arguments)
    scope = arguments.id if ":" in arguments.id else f"key:{arguments.id}"
    with gateway(arguments) as opened, closing(open_store(found.store, folder=found.folder)) as store:
        check_known(found, store, scope)
        opened.revoke(scope, arguments.reason)
    say(f"revoked {arguments.id}")
    return 0


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return parse_timestamp(text)
    except ValueError as error:
        raise ConfigError("key.validity", str(error)) from None
