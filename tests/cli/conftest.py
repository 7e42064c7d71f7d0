from __future__ import annotations

import contextlib
import io
import shutil
from pathlib import Path

import pytest
from cli_desk import Desk

from cigate.cli import main


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder at rest that init made, with keys of an agent and of two people who approve."""
    folder = tmp_path_factory.mktemp("desk") / "gateway"
    config = str(folder / "gateway.yaml")
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        assert main(["init", str(folder)]) == 0
        for name, id, *owner in (
            ("agent", "agent-laptop-1", "--use", "request", "--agent", "agent-1234", "--device", "laptop-1"),
            ("bob", "bob-approves", "--use", "approval"),
        ):
            user = "bob@example.com" if name == "bob" else "alice@example.com"
            assert main(["keygen", str(folder / f"{name}.key")]) == 0
            key = str(folder / f"{name}.key.pub")
            assert main(["--config", config, "enrol", key, "--id", id, "--user", user, *owner]) == 0
    return folder


@pytest.fixture
def desk(
    template: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Desk:
    """A copy of that folder, to work in."""
    shutil.copytree(template, tmp_path / "gateway")
    (tmp_path / "gateway").chmod(0o700)
    return Desk(tmp_path / "gateway", capsys, monkeypatch)
