"""Files that decide what happens here: read only if nobody else can have written them.

A path comes in; the bytes come out, or a `ConfigError` that says who else may change the file and what to do.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from cigate.errors import ConfigError


def read(path: Path, name: str, *, most: int = -1, where: str = "", fix: str = "") -> bytes:
    """The bytes of a file that belongs to this process's user or to root, and that no other may write or replace.

    Args:
        name: what people call it.
        most: how many bytes at most; one more tells that there are more. Negative: all.
        where, fix: of the error if it can't be read: the place that names the file, and the way out.

    Raises:
        ConfigError: `config.unreadable`, `config.writable-by-others`, `config.owner`.
    """
    try:
        folders = {each: os.stat(each).st_mode for each in (path.parent, path.resolve().parent)}
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            raw = file.read(most + 1 if most >= 0 else -1)
    except OSError as error:
        raise ConfigError(
            "config.unreadable",
            f"{path} can't be read: {error.strerror}",
            where=where,
            fix=fix,
        ) from error
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigError(
            "config.writable-by-others", f"others may write {name}", where=str(path), fix=f"chmod go-w {path}"
        )
    if status.st_uid not in (0, os.geteuid()):
        raise ConfigError(
            "config.owner",
            f"{name} belongs to the user {status.st_uid}, who may change it",
            where=str(path),
            fix=f"chown {os.geteuid()} {path}, or run this as its owner",
        )
    for folder, mode in folders.items():
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise ConfigError(
                "config.writable-by-others",
                f"others may put another {name} in its place",
                where=str(path),
                fix=f"chmod o-w {folder}",
            )
    return raw
