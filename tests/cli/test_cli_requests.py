"""sign, submit, approve, reject, status: what is printed, to whom, and with which exit code."""

from __future__ import annotations

import base64
import json
import os
import pty
import select
import subprocess
import sys
import time

import pytest
from cli_desk import COMMIT, HELLO, INFRA, TESTS, Desk

from cigate.request import Request

# sign


def test_sign_takes_audience_and_key_id_from_the_folder(desk: Desk) -> None:
    request = Request.parse(desk.signed().rstrip("\n").encode())
    assert dict(request.fields()) == HELLO
    signed, times = Request.from_signed(json_payload(request))
    assert dict(signed.fields()) == HELLO
    assert times.aud == "ci.example.org"
    assert json.loads(request.attestation or b"")["signatures"][0]["keyid"] == "agent-laptop-1"


def json_payload(request: Request) -> bytes:
    return base64.b64decode(json.loads(request.attestation or b"")["payload"])


def test_only_an_enrolled_key_of_the_right_use_signs(desk: Desk) -> None:
    (desk.folder / "request.json").write_text(json.dumps(HELLO))
    desk.ok("keygen", "new.key")
    for key, code in (("new.key", "key.not-enrolled"), ("bob.key", "key.use"), ("none.key", "key.file")):
        said = desk.cigate("sign", "request.json", "--key", key)
        assert (said.code, said.out) == (2, "")
        assert code in said.err
        assert key in said.err or "bob-approves" in said.err


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("{", "request.json:1:2: request.syntax"),
        ('{\n  "action": "hello",\n  "action": "hello"}', "request.json:/action: request.duplicate-key"),
        ("[]", "request.json: request.wrong-type"),
    ],
)
def test_sign_says_where_a_request_is_malformed(text: str, place: str, desk: Desk) -> None:
    (desk.folder / "request.json").write_text(text)
    said = desk.cigate("sign", "request.json", "--key", "agent.key")
    assert (said.code, said.out) == (2, "")
    assert place in said.err


# submit


def test_an_allowed_run_prints_what_was_promised_and_nothing_else(desk: Desk) -> None:
    (desk.folder / "signed.json").write_text(
        desk.signed(INFRA | {"action": "hello", "parameters": {"name": "Ada"}})
    )
    said = desk.ok("submit", "signed.json")
    assert said.err == ""
    assert set(said.json) == {"effect", "code", "decision_id", "run"}
    assert (said.json["effect"], said.json["code"]) == ("allow", "run.succeeded")
    run = said.json["run"]
    assert set(run) == {"id", "state", "exit_code", "duration", "output"}
    assert (run["exit_code"], run["output"]) == (0, "hello, Ada\n")


def test_status_gives_no_output_and_cost_is_told(desk: Desk) -> None:
    said = desk.submit(TESTS)
    assert said.code == 0
    assert set(said.json) == {"effect", "code", "decision_id", "cost", "run"}
    assert said.json["cost"] == {"amount": 100, "currency": "EUR"}
    assert set(said.json["run"]) == {"id", "state", "exit_code", "duration"}


def test_no_output_means_only_the_run_s_name(desk: Desk) -> None:
    desk.edit("gateway.yaml", "output: full  ", "output: none  ")
    said = desk.submit()
    assert said.code == 0
    assert set(said.json["run"]) == {"id"}


def test_a_run_that_fails_is_exit_code_one(desk: Desk) -> None:
    desk.edit("gateway.yaml", 'echo "hello, $CIGATE_PARAM_NAME"', 'echo "no"; exit 7')
    said = desk.submit()
    assert said.code == 1
    assert (said.json["effect"], said.json["code"], said.json["run"]["exit_code"]) == (
        "allow",
        "run.failed",
        7,
    )
    assert f"cigate status {said.json['decision_id']}" in said.err


def test_a_run_that_can_not_start_is_exit_code_one_and_status_says_why(desk: Desk) -> None:
    desk.edit("gateway.yaml", "[/bin/sh, -c, 'echo \"hello, $CIGATE_PARAM_NAME\"']", "[/no/such/program]")
    said = desk.submit()
    assert said.code == 1
    assert said.json["effect"] == "allow"
    assert desk.ok("status", said.json["decision_id"]).json["outcome"]["code"] == said.json["code"]


def test_a_denial_shows_the_stranger_a_code_and_the_operator_where_the_reason_is(desk: Desk) -> None:
    said = desk.submit(HELLO, agent_version="1.0", action="run-test-suite", parameters={"test_suite": "unit"})
    assert said.code == 10
    assert set(said.json) == {"effect", "code", "decision_id"}
    assert (said.json["effect"], said.json["code"]) == ("deny", "policy.no-allow-rule")
    name = said.json["decision_id"]
    assert f"cigate status {name}" in said.err
    shown = desk.ok("status", name).json
    assert shown["reasons"][0]["message"] == "no rule allows run-test-suite for these facts"
    assert (shown["commit"], shown["agent"], shown["user"]) == (COMMIT, "agent-1234", "alice@example.com")
    assert shown["at"].endswith("Z")


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"action": "reboot"}, "action.unknown"),
        ({"parameters": {"name": "A1"}}, "parameter.pattern"),
        ({"parameters": {"nam": "Ada"}}, "parameter.unknown"),
        ({"parameters": {}}, "parameter.missing"),
    ],
)
def test_what_the_catalogue_does_not_take_is_denied_with_a_reason(
    changed: dict[str, object], code: str, desk: Desk
) -> None:
    said = desk.submit(HELLO, **changed)
    assert (said.code, said.json["code"]) == (10, code)
    assert set(said.json) == {"effect", "code", "decision_id"}
    assert desk.ok("status", said.json["decision_id"]).json["reasons"][0]["message"]


def test_a_throttled_request_says_how_long_to_wait(desk: Desk) -> None:
    desk.edit("policy.yaml", "limit: 10, per: 1h", "limit: 1, per: 1h")
    desk.edit("policy.yaml", "sequence: 1", "sequence: 2")
    assert desk.submit(TESTS).code == 0
    said = desk.submit(TESTS)
    assert said.code == 12
    assert set(said.json) == {"effect", "code", "decision_id", "retry_after"}
    assert said.json["effect"] == "throttle"
    assert 3500 < said.json["retry_after"] <= 3600


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ("{", "request.syntax"),
        ("", "request.syntax"),
        ("[]", "request.wrong-type"),
        ('{"action": "hello", "action": "hello"}', "request.duplicate-key"),
        (json.dumps({**HELLO, "attestation": "%%%"}), "request."),
        (json.dumps({**HELLO, "extra": 1}), "request."),
    ],
)
def test_a_malformed_request_is_bad_input_and_stderr_says_what_is_wrong(
    raw: str, code: str, desk: Desk
) -> None:
    said = desk.cigate("submit", "-", stdin=raw)
    assert said.code == 2
    assert set(said.json) == {"effect", "code", "decision_id"}
    assert said.json["effect"] == "deny"
    assert said.json["decision_id"] is None
    assert said.json["code"].startswith(code)
    assert said.json["code"] in said.err
    assert len(said.err) > len(said.json["code"]) + 5


def test_a_request_that_nobody_signed_is_denied(desk: Desk) -> None:
    said = desk.cigate("submit", "-", stdin=json.dumps(HELLO))
    assert (said.code, said.json["code"], said.json["decision_id"]) == (10, "attestation.refused", None)


def test_a_file_that_is_not_there_is_bad_input(desk: Desk) -> None:
    said = desk.cigate("submit", "none.json")
    assert (said.code, said.out) == (2, "")
    assert "none.json" in said.err


def test_what_nobody_known_signed_is_denied_alike_whatever_is_wrong(desk: Desk) -> None:
    desk.ok("keygen", "other.key")
    owner = ("--agent", "agent-1234", "--user", "alice@example.com")
    desk.ok("enrol", "other.key.pub", "--id", "other", "--use", "request", *owner)
    revoked = desk.signed(HELLO, "other.key")
    desk.ok("revoke", "other")
    good = json.loads(desk.signed())
    envelope = json.loads(base64.b64decode(good["attestation"]))

    def with_envelope(**changed: object) -> str:
        sealed = base64.b64encode(json.dumps({**envelope, **changed}).encode()).decode()
        return json.dumps({**good, "attestation": sealed})

    signature = envelope["signatures"][0]
    unknown = with_envelope(signatures=[{**signature, "keyid": "nobody"}])
    broken = with_envelope(signatures=[{**signature, "sig": base64.b64encode(b"0" * 71).decode()}])
    heard = {
        (said.code, said.out, said.err)
        for said in (desk.cigate("submit", "-", stdin=raw) for raw in (revoked, unknown, broken))
    }
    assert len(heard) == 1
    code, out, err = heard.pop()
    assert (code, json.loads(out)["code"]) == (10, "attestation.refused")
    assert json.loads(out)["decision_id"] is None
    assert "enrolled" in err


def test_a_request_counts_once(desk: Desk) -> None:
    signed = desk.signed()
    assert desk.cigate("submit", "-", stdin=signed).code == 0
    again = desk.cigate("submit", "-", stdin=signed)
    assert (again.code, again.json["code"]) == (10, "attestation.replayed")
    assert "sign it again" in again.err


# approve, reject


def test_a_held_request_prints_its_ticket_and_says_who_may_answer(desk: Desk) -> None:
    said = desk.submit(INFRA)
    assert said.code == 11
    assert set(said.json) == {"effect", "code", "decision_id", "ticket"}
    assert (said.json["effect"], said.json["code"]) == ("require_approval", "approval.required")
    assert f"cigate approve {said.json['ticket']}" in said.err


def test_status_shows_a_ticket_with_the_summary_that_is_signed_and_its_digest(desk: Desk) -> None:
    ticket = desk.held()
    shown = desk.ok("status", ticket).json
    assert (shown["ticket"], shown["state"], shown["answers"]) == (ticket, "pending", [])
    assert "action: create-infra" in shown["summary"]
    assert shown["digest"].startswith("sha256:")


def test_an_approval_with_the_digest_that_was_read_runs_what_was_held(desk: Desk) -> None:
    ticket = desk.held()
    digest = desk.ok("status", ticket).json["digest"]
    said = desk.ok("approve", ticket, "--key", "bob.key", "--digest", digest)
    assert "action: create-infra" in said.err
    assert digest in said.err
    assert set(said.json) == {"effect", "code", "decision_id", "ticket", "cost", "run"}
    assert (said.json["code"], said.json["ticket"]) == ("run.succeeded", ticket)
    shown = desk.ok("status", ticket).json
    assert (shown["state"], shown["redeemed_by"]) == ("redeemed", said.json["decision_id"])
    assert [answer["user"] for answer in shown["answers"]] == ["bob@example.com"]
    again = desk.cigate("approve", ticket, "--key", "bob.key", "--yes")
    assert (again.code, again.json["code"]) == (10, "approval.spent")


def test_a_ticket_can_be_handed_over_as_the_file_that_status_printed(desk: Desk) -> None:
    ticket = desk.held()
    (desk.folder / "ticket.json").write_text(desk.ok("status", ticket).out)
    assert desk.ok("approve", "ticket.json", "--key", "bob.key", "--yes").json["ticket"] == ticket


def test_a_ticket_file_that_says_something_else_is_not_what_is_approved(desk: Desk) -> None:
    ticket = desk.held()
    shown = desk.ok("status", ticket).json
    (desk.folder / "ticket.json").write_text(json.dumps({**shown, "parameters": {"size": "large"}}))
    said = desk.cigate("approve", "ticket.json", "--key", "bob.key", "--yes")
    assert (said.code, said.json["code"]) == (10, "approval.mismatch")
    assert desk.ok("status", ticket).json["state"] == "pending"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--digest", "sha256:" + "0" * 64), "approval.mismatch"),
        ((), "approval.unread"),
    ],
)
def test_without_the_right_digest_or_somebody_who_reads_nothing_is_signed(
    arguments: tuple[str, ...], code: str, desk: Desk
) -> None:
    ticket = desk.held()
    for verb in ("approve", "reject"):
        said = desk.cigate(verb, ticket, "--key", "bob.key", *arguments)
        assert (said.code, said.out) == (2, "")
        assert code in said.err
        assert "action: create-infra" in said.err
    assert desk.ok("status", ticket).json["answers"] == []


def test_only_a_key_for_approvals_approves(desk: Desk) -> None:
    ticket = desk.held()
    said = desk.cigate("approve", ticket, "--key", "agent.key", "--yes")
    assert (said.code, said.out) == (2, "")
    assert "key.use" in said.err


@pytest.mark.parametrize("ticket", ["tkt-00000000000000000000", "nowhere.json"])
def test_a_ticket_that_is_not_there_is_bad_input(ticket: str, desk: Desk) -> None:
    said = desk.cigate("approve", ticket, "--key", "bob.key", "--yes")
    assert (said.code, said.out) == (2, "")
    assert ticket in said.err


def test_a_file_that_is_no_ticket_is_bad_input(desk: Desk) -> None:
    desk.signed()
    said = desk.cigate("approve", "request.json", "--key", "bob.key", "--yes")
    assert (said.code, said.out) == (2, "")
    assert "request.json: ticket.malformed" in said.err
    assert "cigate status TICKET" in said.err


def test_a_rejection_closes_the_ticket(desk: Desk) -> None:
    ticket = desk.held()
    said = desk.cigate("reject", ticket, "--key", "bob.key", "--yes")
    assert (said.code, said.json["code"]) == (10, "approval.rejected")
    assert desk.ok("status", ticket).json["state"] == "rejected"
    later = desk.cigate("approve", ticket, "--key", "bob.key", "--yes")
    assert later.code == 10
    assert "outcome" not in desk.kinds()


def test_while_more_approvals_are_wanted_the_exit_code_is_eleven(desk: Desk) -> None:
    desk.edit("policy.yaml", "{count: 1, roles: [sre], ttl: 30m}", "{count: 2, roles: [sre], ttl: 30m}")
    desk.edit("policy.yaml", "sequence: 1", "sequence: 2")
    desk.edit("gateway.yaml", "bob@example.com:", "carol@example.com: {roles: [sre]}\n  bob@example.com:")
    desk.ok("keygen", "carol.key")
    carol = ("--id", "carol", "--use", "approval", "--user", "carol@example.com")
    desk.ok("enrol", "carol.key.pub", *carol)
    ticket = desk.held()
    first = desk.cigate("approve", ticket, "--key", "bob.key", "--yes")
    assert first.code == 11
    assert (first.json["effect"], first.json["ticket"]) == ("require_approval", ticket)
    assert "1 of 2 counted; 1 more of sre is wanted" in first.err
    assert "answered already" not in first.err
    again = desk.cigate("approve", ticket, "--key", "bob.key", "--yes")
    assert again.code == 11
    assert "bob@example.com has answered already" in again.err
    assert "1 of 2 counted; 1 more of sre is wanted" in again.err
    second = desk.ok("approve", ticket, "--key", "carol.key", "--yes")
    assert second.json["code"] == "run.succeeded"


def on_a_terminal(desk: Desk, answer: bytes, *arguments: str) -> tuple[int, bytes]:
    """A verb in a process of its own, on a terminal where somebody types: its exit code and what was shown."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "cigate", *arguments], cwd=desk.folder, stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    shown = b""
    answered = False
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if not select.select([master], [], [], 1)[0]:
            continue
        try:
            part = os.read(master, 4096)
        except OSError:  # the other side is closed
            break
        shown += part
        if not answered and b"[y/N] " in shown:
            os.write(master, answer)
            answered = True
    os.close(master)
    return process.wait(timeout=10), shown


@pytest.mark.parametrize("answer", [b"y\n", b"yes\n"])
def test_on_a_terminal_the_summary_is_shown_and_a_yes_signs(answer: bytes, desk: Desk) -> None:
    ticket = desk.held()
    code, shown = on_a_terminal(desk, answer, "approve", ticket, "--key", "bob.key")
    assert code == 0, shown
    assert b"action: create-infra" in shown
    assert shown.index(b"digest: sha256:") < shown.index(b"approve this? [y/N]")


@pytest.mark.parametrize("answer", [b"\n", b"n\n", b"yep\n"])
def test_on_a_terminal_anything_but_a_yes_signs_nothing(answer: bytes, desk: Desk) -> None:
    ticket = desk.held()
    code, shown = on_a_terminal(desk, answer, "reject", ticket, "--key", "bob.key")
    assert code == 2
    assert b"nothing was signed" in shown
    assert desk.ok("status", ticket).json["state"] == "pending"


# status


def test_status_of_a_run_tells_operators_what_ran_how_it_ended_and_what_it_printed(desk: Desk) -> None:
    desk.edit("gateway.yaml", "output: full  ", "output: none  ")
    said = desk.submit()
    by_decision = desk.ok("status", said.json["decision_id"]).json
    assert by_decision == desk.ok("status", said.json["run"]["id"]).json
    assert by_decision["state"] == "concluded"
    outcome = by_decision["outcome"]
    assert (outcome["code"], outcome["exit_code"], outcome["commit"]) == ("run.succeeded", 0, COMMIT)
    assert outcome["duration"].endswith("s")
    assert desk.ok("status", said.json["decision_id"], "--output").out == "hello, Ada\n"


def test_the_operator_s_output_has_no_literal_secret(desk: Desk) -> None:
    desk.edit(
        "gateway.yaml", 'echo "suite $CIGATE_PARAM_TEST_SUITE passed"', 'cat "$CIGATE_CREDENTIAL"; echo over'
    )
    said = desk.submit(TESTS)
    assert said.code == 0
    printed = desk.ok("status", said.json["decision_id"], "--output").out
    assert "over" in printed
    assert "eyJ" not in printed


@pytest.mark.parametrize("name", ["\udcff", "täg", "dec-\ud800"])
def test_status_of_what_is_no_id_is_bad_input(name: str, desk: Desk) -> None:
    for arguments in (("status", name), ("approve", name, "--key", "bob.key", "--yes")):
        said = desk.cigate(*arguments)
        assert (said.code, said.out) == (2, "")
        assert "status.unknown" in said.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("submit", "/dev/zero"),
        ("sign", "/dev/zero", "--key", "agent.key"),
        ("policy", "decide", "/dev/zero"),
        ("ledger", "check-receipt", "/dev/zero", "--public-key", "ledger.pub"),
        ("enrol", "/dev/zero", "--use", "approval", "--id", "x"),
    ],
)
def test_a_device_without_end_is_bad_input(arguments: tuple[str, ...], desk: Desk) -> None:
    said = desk.cigate(*arguments)
    assert (said.code, said.out) == (2, "")
    assert "input.too-large" in said.err


def test_status_of_what_is_not_there_is_bad_input(desk: Desk) -> None:
    said = desk.cigate("status", "dec-0")
    assert (said.code, said.out) == (2, "")
    assert "status.unknown" in said.err
    denied = desk.submit(HELLO, action="gone").json["decision_id"]
    for name in (denied, desk.held()):
        said = desk.cigate("status", name, "--output")
        assert (said.code, said.out) == (2, "")
        assert "status.no-output" in said.err
