"""Requests that other languages sign, as docs/clients shows it, go through the gateway to the end of their run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cli_desk import HELLO, Desk

CLIENTS = Path(__file__).parents[2] / "docs" / "clients"
COMMANDS = {
    "sign.sh": ("sh", "openssl"),
    "sign.mjs": ("node",),
    "sign.py": (sys.executable,),
}
INSTALL = {"openssl": "apt-get install openssl", "node": "apt-get install nodejs", "sh": "any POSIX shell"}


def signed_by(client: str, folder: Path, key: str, id: str) -> str:
    for tool in COMMANDS[client]:
        if shutil.which(tool) is None:
            pytest.fail(f"{tool} is not here: {INSTALL[tool]}")
    (folder / "request.json").write_text(json.dumps(HELLO, indent=1) + "\n")
    command = [COMMANDS[client][0], str(CLIENTS / client), key, "ci.example.org", id, "request.json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("client", COMMANDS)
def test_a_request_signed_in_another_language_is_accepted_once(client: str, desk: Desk) -> None:
    signed = signed_by(client, desk.folder, "agent.key", "agent-laptop-1")
    said = desk.ok("submit", "-", stdin=signed)
    assert (said.json["effect"], said.json["run"]["output"]) == ("allow", "hello, Ada\n")
    assert desk.cigate("submit", "-", stdin=signed).json["code"] == "attestation.replayed"


@pytest.mark.parametrize("client", COMMANDS)
def test_openssl_makes_keys_that_are_enrolled_with_the_encoding_their_client_writes(
    client: str, desk: Desk
) -> None:
    if shutil.which("openssl") is None:
        pytest.fail(f"openssl is not here: {INSTALL['openssl']}")
    for command in (
        "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out theirs.key",
        "openssl pkey -in theirs.key -pubout -out theirs.pub",
    ):
        subprocess.run(command.split(), cwd=desk.folder, check=True, capture_output=True)
    owner = ("--use", "request", "--agent", "agent-1234", "--user", "alice@example.com")
    desk.ok("enrol", "theirs.pub", "--id", "theirs", "--encoding", "der", *owner)
    said = desk.ok("submit", "-", stdin=signed_by(client, desk.folder, "theirs.key", "theirs"))
    assert said.json["code"] == "run.succeeded"


def test_a_key_enrolled_with_the_other_encoding_signs_nothing(desk: Desk) -> None:
    desk.ok("keygen", "raw.key")
    owner = ("--use", "request", "--agent", "agent-1234", "--user", "alice@example.com")
    desk.ok("enrol", "raw.key.pub", "--id", "raw", "--encoding", "raw", *owner)
    said = desk.cigate("submit", "-", stdin=signed_by("sign.py", desk.folder, "raw.key", "raw"))
    assert (said.code, said.json["code"]) == (10, "attestation.refused")


def test_a_client_that_writes_raw_signatures_is_accepted_with_its_encoding(desk: Desk) -> None:
    """Web Crypto and many hardware keys write r and s one after the other; Node does when asked to."""
    client = desk.folder / "raw.mjs"
    text = (CLIENTS / "sign.mjs").read_text()
    written = "createPrivateKey(readFileSync(keyFile))"
    assert written in text
    client.write_text(text.replace(written, f'{{ key: {written}, dsaEncoding: "ieee-p1363" }}'))
    desk.ok("keygen", "raw.key")
    owner = ("--use", "request", "--agent", "agent-1234", "--user", "alice@example.com")
    desk.ok("enrol", "raw.key.pub", "--id", "raw", "--encoding", "raw", *owner)
    if shutil.which("node") is None:
        pytest.fail(f"node is not here: {INSTALL['node']}")
    (desk.folder / "request.json").write_text(json.dumps(HELLO))
    done = subprocess.run(
        ["node", str(client), "raw.key", "ci.example.org", "raw", "request.json"],
        cwd=desk.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert desk.ok("submit", "-", stdin=done.stdout).json["code"] == "run.succeeded"
