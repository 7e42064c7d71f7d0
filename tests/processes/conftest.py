"""A gateway's folder for each test."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes.gateway_folder import Folder, until


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    """A gateway that has not run anything yet, and of whose jobs none may be left."""
    made = Folder.make(tmp_path / "gateway")
    yield made
    try:
        until(lambda: not made.jobs(), "no job is left")
    finally:
        for left in made.jobs():
            os.kill(left, signal.SIGKILL)
