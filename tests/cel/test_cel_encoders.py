"""`base64.encode` and `base64.decode`."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cigate.cel.error import EvaluationError
from cigate.cel.library.encoders import decode, encode
from cigate.cel.values import LONGEST_TEXT


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("aGVsbG8=", b"hello"),
        ("aGVsbG8", b"hello"),  # padded wholly or not at all
        ("", b""),
        ("aGVs\r\nbG8=", b"hello"),
        ("YQ==", b"a"),
        ("YQ", b"a"),
        ("+/+/", b"\xfb\xff\xbf"),
    ],
)
def test_base64_is_read(written: str, expected: bytes) -> None:
    assert decode(written) == expected


@pytest.mark.parametrize(
    "written", ["YQ=", "Y", "YQ===", "=", "====", "YWFh=", "Y Q=", "-_-_", "YQ==YQ==", "é", "YQ=a"]
)
def test_what_is_not_base64_is_an_error(written: str) -> None:
    with pytest.raises(EvaluationError) as error:
        decode(written)
    assert error.value.code == "cel.invalid"


@pytest.mark.parametrize(("call", "operand"), [(decode, b"YQ=="), (encode, "a"), (encode, 1), (decode, None)])
def test_other_types_have_no_base64(call: Any, operand: object) -> None:
    with pytest.raises(EvaluationError) as error:
        call(operand)
    assert error.value.code == "cel.no-such-overload"


def test_what_is_too_large_is_an_error() -> None:
    for call, operand in ((encode, b"a" * LONGEST_TEXT), (decode, "YWFh" * LONGEST_TEXT)):
        with pytest.raises(EvaluationError) as error:
            call(operand)
        assert error.value.code == "cel.too-costly"


@given(st.binary(max_size=200))
def test_what_is_encoded_comes_back(data: bytes) -> None:
    assert encode(data) == b64encode(data).decode()
    assert decode(encode(data)) == data
    assert decode(encode(data).rstrip("=")) == data
