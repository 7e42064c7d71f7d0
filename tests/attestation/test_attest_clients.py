"""Anybody can write a client in about fifteen lines: those in docs/clients are attested as they stand."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from attest_scene import ASKED, AUDIENCE, VERIFIERS

from cigate.attestation import attest
from cigate.errors import AttestationError
from cigate.request import Request
from cigate.signing import KeyRecord, Keyring, write_key_pair

CLIENTS = Path(__file__).parent.parent.parent / "docs" / "clients"
INSTALL = {
    "openssl": "install it: `apt-get install openssl`, or your system's package",
    "node": "install Node 18 or later: `apt-get install nodejs`, or your system's package",
    "sh": "this test needs a POSIX shell",
}
COMMANDS = {
    "shell": (("sh", "openssl"), ["sh", "sign.sh"]),
    "node": (("node",), ["node", "sign.mjs"]),
    "python": ((), [sys.executable, "sign.py"]),
}
REQUESTS = {
    "plain": ASKED,
    "bare": {name: value for name, value in ASKED.items() if name != "purpose"} | {"parameters": {}},
    "awkward": {
        **ASKED,
        "purpose": "caf\u00e9 \U0001f600 \"quoted\" \\ % $HOME `id` 'x'",
        "parameters": {"p": "a}\u00df }"},
    },
}


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    path = tmp_path_factory.mktemp("client") / "agent.pem"
    public = write_key_pair(path)
    owner = {"agent": ASKED["agent_id"], "user": ASKED["user_id"]}
    return path, Keyring.of(KeyRecord.enrol(public.read_bytes(), id="laptop-1", use="request", **owner))


def run(client: str, key: Path, asked: dict[str, object], folder: Path, indent: int | None) -> bytes:
    tools, command = COMMANDS[client]
    for tool in tools:
        if shutil.which(tool) is None:
            pytest.fail(f"{tool} is not here; {INSTALL[tool]}")
    file = folder / "request.json"
    file.write_text(json.dumps(asked, indent=indent, ensure_ascii=False) + "\n", encoding="utf-8")
    done = subprocess.run(
        [*command, key, AUDIENCE, "laptop-1", file], cwd=CLIENTS, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.mark.parametrize("indent", [None, 2], ids=["one-line", "indented"])
@pytest.mark.parametrize("asked", REQUESTS)
@pytest.mark.parametrize("client", COMMANDS)
def test_a_request_signed_by_a_client_in_another_language_is_attested(client, asked, indent, key, tmp_path):
    path, ring = key
    raw = run(client, path, REQUESTS[asked], tmp_path, indent)
    attestation = attest(Request.parse(raw), ring, VERIFIERS, AUDIENCE, datetime.now(UTC))
    assert attestation.request.fields() == REQUESTS[asked]
    assert attestation.signed.exp - attestation.signed.iat == 300


@pytest.mark.parametrize("client", COMMANDS)
def test_and_it_is_refused_once_a_field_is_changed(client, key, tmp_path):
    path, ring = key
    outer = json.loads(run(client, path, ASKED, tmp_path, None))
    altered = Request.parse(json.dumps({**outer, "action": "create-infra"}).encode())
    with pytest.raises(AttestationError) as caught:
        attest(altered, ring, VERIFIERS, AUDIENCE, datetime.now(UTC))
    assert caught.value.code == "attestation.mismatch"
