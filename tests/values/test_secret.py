"""Secrets: no form of the value shows where values are shown, stored or copied."""

from __future__ import annotations

import base64
import copy
import dataclasses
import gc
import io
import json
import logging
import os
import pickle
import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cigate.errors import ConfigError
from cigate.secret import REDACTED, Secret

MARKER = "canary/7f3a+9c" + "Zx!q é"


@attrs.frozen
class Holder:
    secret: Secret


@dataclasses.dataclass
class DataHolder:
    secret: Secret


def _logged(secret: Secret) -> str:
    stream = io.StringIO()
    logger = logging.Logger("canary")
    logger.addHandler(logging.StreamHandler(stream))
    logger.error("%s %r %s", secret, secret, {"secret": secret})
    return stream.getvalue()


def _raised(secret: Secret) -> str:
    held, listed = Holder(secret), [secret]
    try:
        raise RuntimeError("failed with", held, listed)
    except RuntimeError as error:
        shown = traceback.TracebackException.from_exception(error, capture_locals=True)
        return "".join(shown.format())


SHOWN: dict[str, Callable[[Secret], str]] = {
    "str": str,
    "repr": repr,
    "ascii": ascii,
    "format": lambda secret: format(secret, ">40"),
    "f-string": lambda secret: f"{secret} {secret!r} {secret!s:>30}",
    "%": lambda secret: "%s %r" % (secret, secret),  # noqa: UP031
    "str.format": lambda secret: "{0} {0!r} {0.__class__}".format(secret),  # noqa: UP032
    "bytes": lambda secret: bytes(secret).decode(),
    "a container": lambda secret: repr([secret, {"a": secret}, (secret,)]),
    "attrs": lambda secret: repr(Holder(secret)),
    "attrs.asdict": lambda secret: repr(attrs.asdict(Holder(secret))),
    "attrs.astuple": lambda secret: repr(attrs.astuple(Holder(secret))),
    "json with default=str": lambda secret: json.dumps({"a": secret}, default=str),
    "json with default=repr": lambda secret: json.dumps({"a": secret}, default=repr),
    "logging": _logged,
    "a traceback with locals": _raised,
    "dir": lambda secret: repr([getattr(secret, name, None) for name in dir(secret)]),
}


def _forms(value: str) -> list[str]:
    octets = value.encode()
    return [
        value,
        value[::-1],
        octets.hex(),
        octets.hex().upper(),
        base64.b64encode(octets).decode(),
        base64.urlsafe_b64encode(octets).decode(),
        quote(value),
        quote(value, safe=""),
        json.dumps(value)[1:-1],
    ]


@pytest.mark.parametrize("show", SHOWN.values(), ids=SHOWN)
def test_whatever_shows_a_secret_shows_no_form_of_it(show: Callable[[Secret], str]) -> None:
    text = show(Secret(MARKER))
    assert [form for form in _forms(MARKER) if form in text] == []


@pytest.mark.parametrize(
    "use",
    [
        pickle.dumps,
        lambda secret: pickle.dumps(secret, 0),
        lambda secret: pickle.dumps(Holder(secret)),
        copy.copy,
        copy.deepcopy,
        lambda secret: dataclasses.asdict(DataHolder(secret)),
        json.dumps,
        iter,
        list,
        len,
        hash,
        vars,
        lambda secret: {secret},
        lambda secret: secret + "",
        lambda secret: "" + secret,
        lambda secret: secret[0],
        lambda secret: "a" in secret,
        lambda secret: secret < secret,
        lambda secret: secret.__getstate__(),
        lambda secret: b"".join([secret]),
        lambda secret: "".join([secret]),
        lambda secret: os.fspath(secret),
    ],
)
def test_a_secret_can_be_neither_stored_copied_ordered_nor_taken_apart(use: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError) as refused:
        use(Secret(MARKER))
    assert MARKER not in str(refused.value)


def test_a_secret_has_no_dict_and_does_not_change() -> None:
    secret = Secret(MARKER)
    assert not hasattr(secret, "__dict__")
    with pytest.raises(AttributeError):
        secret._masked = b""
    with pytest.raises(AttributeError):
        secret.value = ""  # type: ignore[attr-defined]
    with pytest.raises(AttributeError):
        del secret._mask
    assert secret.matches(MARKER)


def test_nothing_reachable_from_a_secret_holds_its_value() -> None:
    secret = Secret(MARKER)
    seen: list[object] = []
    waiting: list[object] = [secret]
    while waiting and len(seen) < 1000:
        each = waiting.pop()
        if isinstance(each, type) or any(each is other for other in seen):
            continue
        seen.append(each)
        waiting += gc.get_referents(each)
    held = [each for each in seen if isinstance(each, str | bytes)]
    assert [type(each) for each in held] == [bytes, bytes]
    assert not any(
        form.encode() in each for form in _forms(MARKER) for each in held if isinstance(each, bytes)
    )


def test_equality_is_identity_so_that_no_value_can_be_guessed_by_it() -> None:
    secret = Secret(MARKER)
    assert secret == secret
    assert secret != Secret(MARKER)
    assert secret != MARKER
    assert Holder(secret) == Holder(secret)


def test_a_value_is_compared_only_on_purpose() -> None:
    secret = Secret(MARKER)
    assert secret.matches(MARKER)
    assert secret.matches(MARKER.encode())
    assert secret.matches(Secret(MARKER))
    assert not secret.matches(MARKER + " ")
    assert not secret.matches("")
    assert not secret.matches(Secret("other"))


def test_the_value_goes_to_the_writer_and_its_answer_comes_back() -> None:
    written: list[bytes] = []
    assert Secret(MARKER).reveal_to(written.append) is None
    assert written == [MARKER.encode()]
    assert Secret(b"\xff\x00").reveal_to(len) == 2


def test_a_writer_that_fails_leaves_no_frame_that_holds_the_value() -> None:
    def write(value: bytes) -> None:
        text = value.decode()
        try:
            raise OSError("broken pipe")
        except OSError as error:
            raise RuntimeError("the channel broke") from error
        finally:
            del text

    with pytest.raises(RuntimeError) as failed:
        Secret(MARKER).reveal_to(write)
    shown = traceback.TracebackException.from_exception(failed.value, capture_locals=True)
    text = "".join(shown.format())
    assert "the channel broke" in text
    assert "broken pipe" in text
    assert [form for form in _forms(MARKER) if form in text] == []


def test_an_error_that_was_being_handled_before_keeps_its_frames() -> None:
    def write(value: bytes) -> None:
        raise RuntimeError("the channel broke")

    with pytest.raises(RuntimeError) as failed:
        try:
            raise KeyError("earlier")
        except KeyError:
            Secret(MARKER).reveal_to(write)
    earlier = failed.value.__context__
    assert isinstance(earlier, KeyError)
    assert earlier.__traceback__ is not None


@pytest.mark.parametrize(
    "spell",
    [
        lambda text: text,
        lambda text: text[::-1],
        lambda text: text.encode().hex(),
        lambda text: text.encode().hex().upper(),
        lambda text: base64.b64encode(text.encode()).decode(),
        lambda text: base64.b64encode(text.encode()).decode().rstrip("="),
        lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
        lambda text: quote(text),
        lambda text: quote(text, safe=""),
        lambda text: re.sub("%..", lambda found: found[0].lower(), quote(text, safe="")),
        quote_plus,
        lambda text: json.dumps(text)[1:-1],
        lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    ],
)
@given(text=st.text(st.characters(exclude_categories=["Cs"], max_codepoint=0x2FF), min_size=12, max_size=30))
def test_scrubbed_output_has_no_spelling_of_the_value(spell: Callable[[str], str], text: str) -> None:
    spelt = spell(text)
    scrubbed = Secret(text).scrub(b"before " + spelt.encode() + b" after " + spelt.encode())
    assert spelt.encode() not in scrubbed
    assert scrubbed.startswith(b"before ")


@given(st.binary(max_size=9), st.binary(max_size=9))
def test_a_value_inside_longer_base64_is_scrubbed_too(before: bytes, after: bytes) -> None:
    value = b"s3cr3t-value-of-a-token"
    text = base64.b64encode(before + value + after)
    scrubbed = Secret(value).scrub(text)
    assert scrubbed.count(REDACTED.encode()) == 1
    # at both ends a group of four may hold bits of the value beside bits of its neighbours
    left = len(scrubbed) - len(REDACTED)
    assert left <= len(base64.b64encode(before)) + len(base64.b64encode(after)) + 8


def test_output_without_the_value_is_left_as_it_is() -> None:
    assert Secret(MARKER).scrub(b"nothing here \xff\x00") == b"nothing here \xff\x00"


@pytest.mark.parametrize("value", ["", b""])
def test_an_empty_secret_is_no_secret(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"secret\.empty"):
        Secret(value)


@pytest.mark.parametrize("value", [1, None, ["a"], bytearray(b"a")])
def test_a_secret_is_text_or_bytes(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"secret\.type"):
        Secret(value)


def test_a_secret_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIGATE_TEST_SECRET", MARKER)
    assert Secret.from_env("CIGATE_TEST_SECRET").matches(MARKER)
    for name in ("CIGATE_TEST_ABSENT", "CIGATE_TEST_EMPTY"):
        monkeypatch.setenv("CIGATE_TEST_EMPTY", "")
        with pytest.raises(ConfigError, match=r"secret\.missing.*" + name):
            Secret.from_env(name)


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"abc", b"abc"),
        (b"abc\n", b"abc"),
        (b"abc\r\n", b"abc"),
        (b"abc\n\n", b"abc\n"),
        (b"\xff ", b"\xff "),
    ],
)
def test_a_secret_comes_from_a_file_without_one_line_end(
    tmp_path: Path, content: bytes, value: bytes
) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    path.chmod(0o600)
    assert Secret.from_file(path).matches(value)


def test_a_secret_file_must_be_a_small_regular_file_that_others_can_not_write(tmp_path: Path) -> None:
    def made(name: str, content: bytes, mode: int) -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        path.chmod(mode)
        return path

    os.mkfifo(tmp_path / "fifo", 0o600)
    for path, code in (
        (tmp_path / "absent", "secret.missing"),
        (Path("a\0b"), "secret.missing"),
        (tmp_path, "secret.file"),
        (tmp_path / "fifo", "secret.file"),
        (made("large", b"x" * 65537, 0o600), "secret.file"),
        (made("group", b"x", 0o660), "secret.file"),
        (made("world", b"x", 0o602), "secret.file"),
        (made("empty", b"", 0o600), "secret.empty"),
        (made("line", b"\n", 0o600), "secret.empty"),
    ):
        with pytest.raises(ConfigError) as refused:
            Secret.from_file(path)
        assert refused.value.code == code
