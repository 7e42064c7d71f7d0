"""Requests: well-formed and within bounds, or refused at a place; never repaired."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cigate.errors import RequestError
from cigate.request import Request, Signed, first_difference

COMMIT = "ab" * 20
FIELDS: dict[str, Any] = {
    "agent_id": "agent-1234",
    "agent_version": "2.0.1",
    "user_id": "alice@example.com",
    "action": "run-test-suite",
    "commit": COMMIT,
    "parameters": {"test_suite": "integration-qa"},
}
CLAIMS: dict[str, Any] = {"aud": "https://ci.example.com", "iat": 1, "exp": 2, "jti": "0123456789abcdef"}
ENVELOPE = base64.b64encode(b'{"payload":"e30="}').decode()


def raw(**changes: Any) -> bytes:
    document = {**FIELDS, "attestation": ENVELOPE, **changes}
    return json.dumps({name: value for name, value in document.items() if value is not ...}).encode()


def refused(octets: bytes) -> RequestError:
    with pytest.raises(RequestError) as error:
        Request.parse(octets)
    return error.value


def test_a_request_is_what_the_agent_wrote() -> None:
    request = Request.parse(raw(purpose="nightly — größer"))
    assert request.fields() == {**FIELDS, "purpose": "nightly — größer"}
    assert request.attestation == b'{"payload":"e30="}'
    assert Request.parse(json.dumps(request.to_json()).encode()) == request


def test_a_request_without_attestation_is_not_yet_signed() -> None:
    request = Request.parse(raw(attestation=...))
    assert request.attestation is None
    assert "attestation" not in request.to_json()
    assert request == Request.of(FIELDS)


def test_the_attestation_never_shows_in_a_repr() -> None:
    assert "payload" not in repr(Request.parse(raw()))


MALFORMED: list[tuple[str, Any]] = [
    *(
        ("agent_id", value)
        for value in ("", "-a", ".a", "a b", "a/b", "a@b", "аgent", "a\u200b", "a\n", "é", "a" * 129, "a\x00")
    ),
    *(
        ("user_id", value)
        for value in ("", "@a", "a b", "a/b", "alicе", "a\u202e", "a\n", "a" * 129, "a,b", 'a"b')
    ),
    *(("agent_version", value) for value in ("", " ", "1 0", "1\n", "1\t", "é", "1\x7f", "1" * 65)),
    *(
        ("action", value)
        for value in ("", "Run", "-a", "_a", ".a", "a/b", "a b", "a\n", "ａ", "a" * 65, "../a", "*")
    ),
    *(
        ("commit", value)
        for value in (
            "",
            "main",
            "HEAD",
            "ab" * 19,
            "ab" * 21,
            "ab" * 31,
            "AB" * 20,
            "ab" * 20 + "\n",
            " " + "ab" * 20,
            "gh" * 20,
            "sha1:" + "ab" * 32,
            "sha256:" + "ab" * 20,
            "SHA1:" + "ab" * 20,
            "sha512:" + "ab" * 64,
            "sha1:",
            "refs/pull/1/head",
            "-" + "ab" * 20,
            "ab" * 20 + "^",
            "٠" * 40,
        )
    ),
]


@pytest.mark.parametrize(("name", "value"), MALFORMED)
def test_names_are_ascii_of_a_grammar_and_commits_are_object_ids(name: str, value: str) -> None:
    error = refused(raw(**{name: value}))
    assert (error.code, error.where) == ("request.malformed", f"/{name}")
    assert str(error).isprintable()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("agent_id", "A.b_c:d-9"),
        ("agent_id", "a" * 128),
        ("user_id", "alice+ci@mail.example.com"),
        ("agent_version", '2.0.1-rc.1+build"5~x'),
        ("action", "0a.b_c-d"),
        ("commit", "ab" * 32),
        ("commit", "sha1:" + "ab" * 20),
        ("commit", "sha256:" + "ab" * 32),
    ],
)
def test_what_fits_the_grammar_is_kept_as_it_is(name: str, value: str) -> None:
    assert Request.parse(raw(**{name: value})).fields()[name] == value


@pytest.mark.parametrize(
    "name", ["agent_id", "agent_version", "user_id", "action", "commit", "purpose", "attestation"]
)
@pytest.mark.parametrize("value", [None, True, 1, 1.5, [], {}, ["a"]])
def test_what_must_be_text_is_text(name: str, value: Any) -> None:
    error = refused(raw(**{name: value}))
    assert (error.code, error.where) == ("request.wrong-type", f"/{name}")


@pytest.mark.parametrize("name", FIELDS)
def test_no_field_may_be_missing(name: str) -> None:
    error = refused(raw(**{name: ...}))
    assert (error.code, error.where) == ("request.missing-field", f"/{name}")


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("agent-id", "did you mean agent_id?"),
        ("Commit", "did you mean commit?"),
        ("params", "did you mean parameters?"),
        ("aud", None),
        ("", None),
        ("a/b~c", None),
    ],
)
def test_an_unknown_field_is_refused_and_the_nearest_is_named(name: str, fix: str | None) -> None:
    error = refused(raw(**{name: 1}))
    assert error.code == "request.unknown-field"
    assert error.where == "/" + name.replace("~", "~0").replace("/", "~1")
    assert fix is None or error.fix == fix


PARAMETERS: list[tuple[Any, str, str]] = [
    (None, "request.wrong-type", "/parameters"),
    ([], "request.wrong-type", "/parameters"),
    ("a", "request.wrong-type", "/parameters"),
    ({"a": None}, "request.wrong-type", "/parameters/a"),
    ({"a": 1.0}, "request.wrong-type", "/parameters/a"),
    ({"a": []}, "request.wrong-type", "/parameters/a"),
    ({"a": {"b": 1}}, "request.wrong-type", "/parameters/a"),
    ({"a": "x" * 4097}, "request.too-long", "/parameters/a"),
    ({f"p{at}": 1 for at in range(65)}, "request.too-many", "/parameters"),
    ({"": 1}, "request.malformed", "/parameters/"),
    ({"1a": 1}, "request.malformed", "/parameters/1a"),
    ({"-a": 1}, "request.malformed", "/parameters/-a"),
    ({"a b": 1}, "request.malformed", "/parameters/a b"),
    ({"a/b": 1}, "request.malformed", "/parameters/a~1b"),
    ({"a\n": 1}, "request.malformed", "/parameters/a\\u000a"),
    ({"а": 1}, "request.malformed", "/parameters/а"),
    ({"a=b": 1}, "request.malformed", "/parameters/a=b"),
    ({"a" * 65: 1}, "request.malformed", "/parameters/" + "a" * 65),
]


@pytest.mark.parametrize(("parameters", "code", "where"), PARAMETERS)
def test_parameters_are_few_named_scalars(parameters: Any, code: str, where: str) -> None:
    error = refused(raw(parameters=parameters))
    assert (error.code, error.where) == (code, where)


def test_parameters_may_be_text_integers_and_booleans_to_their_bounds() -> None:
    parameters = {f"p{at}": at for at in range(61)} | {"s": "x" * 4096, "b": False, "i": -(2**53) + 1}
    assert Request.parse(raw(parameters=parameters)).parameters == parameters
    assert Request.parse(raw(parameters={})).parameters == {}


@pytest.mark.parametrize(
    ("purpose", "code"),
    [
        ("x" * 501, "request.too-long"),
        *(
            (f"a{character}b", "request.character")
            for character in "\n\r\t\0\x1b\x7f\x85\u200b\u200d\u202e\u2028\u2029\u2066\u00ad\ufeff\U000e0041"
        ),
    ],
)
def test_a_purpose_is_one_short_line_that_shows_itself(purpose: str, code: str) -> None:
    error = refused(raw(purpose=purpose))
    assert (error.code, error.where) == (code, "/purpose")


def test_a_purpose_may_have_500_characters_of_any_script() -> None:
    assert Request.parse(raw(purpose="é𝄞" * 250)).purpose == "é𝄞" * 250


@pytest.mark.parametrize(
    "text",
    [
        "",
        "=",
        "====",
        "Zg",
        "Zg=",
        "Zh==",  # other bits than zero behind the last byte
        "Zm9=",
        "Zg==\n",
        " Zg==",
        "Zg==Zg==",
        "Z g==",
        "Zm-_",
        "Zg==é",
        "Ｚg==",
        "Zg===",
    ],
)
def test_an_attestation_has_one_spelling(text: str) -> None:
    error = refused(raw(attestation=text))
    assert (error.code, error.where) == ("request.attestation", "/attestation")


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        (b"", "request.syntax"),
        (b"[]", "request.wrong-type"),
        (b"null", "request.wrong-type"),
        (b'"x"', "request.wrong-type"),
        (raw() + b" x", "request.syntax"),
        (b"\xef\xbb\xbf" + raw(), "request.encoding"),
        (raw().replace(b'"agent_id"', b'"action": "b", "agent_id"'), "request.duplicate-key"),
        (raw().replace(b'"agent_id"', b'"\\u0061ction": "b", "agent_id"'), "request.duplicate-key"),
        (raw(parameters={"a": 2**53}), "request.number"),
        (raw(parameters={"a": float("nan")}), "request.syntax"),
        (raw(purpose="\ud800"), "request.surrogate"),
        (raw() + b" " * 65536, "request.too-large"),
        (b"[" * 2**20, "request.too-large"),
        (b"[" * 60000, "request.too-deep"),
        (b"{" + b",".join(b'"k%d":0' % at for at in range(6000)) + b"}", "request.too-many"),
    ],
)
def test_what_is_no_i_json_is_refused_as_such(octets: bytes, code: str) -> None:
    assert refused(octets).code == code


@given(
    st.binary(max_size=100)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from([*FIELDS, "attestation", "x"]), inner)
        ),
        max_leaves=12,
    ).map(lambda value: json.dumps(value).encode())
)
def test_only_typed_refusals_escape_whatever_the_bytes(octets: bytes) -> None:
    for read in (Request.parse, Request.from_signed):
        with contextlib.suppress(RequestError):
            read(octets)


def test_a_dict_about_to_be_signed_is_checked_in_the_same_way() -> None:
    assert Request.of(FIELDS).fields() == FIELDS
    for changes, code in (
        ({"attestation": ENVELOPE}, "request.attestation"),
        ({"attestation": None}, "request.attestation"),
        ({"aud": "x"}, "request.unknown-field"),
        ({1: "x"}, "request.unknown-field"),
        ({"commit": "main"}, "request.malformed"),
        ({"purpose": None}, "request.wrong-type"),
        ({"parameters": {"a": "\ud800"}}, "request.surrogate"),
        ({"parameters": {"a": 2**53}}, "request.number"),
        ({"parameters": {1: 1}}, "request.malformed"),
        ({"parameters": {"a": b"x"}}, "request.wrong-type"),
    ):
        with pytest.raises(RequestError) as error:
            Request.of({**FIELDS, **changes})  # type: ignore[dict-item]
        assert error.value.code == code
    with pytest.raises(RequestError, match=r"request\.wrong-type"):
        Request.of([])  # type: ignore[arg-type]


def test_no_request_exists_that_does_not_fit_the_grammar() -> None:
    with pytest.raises(RequestError, match=r"request\.malformed"):
        attrs.evolve(Request.of(FIELDS), commit="main")


def test_a_request_does_not_change_with_the_dict_it_was_made_of() -> None:
    parameters = {"test_suite": "a"}
    request = Request.of({**FIELDS, "parameters": parameters})
    parameters["test_suite"] = "b"
    assert request.parameters == {"test_suite": "a"}
    with pytest.raises(TypeError):
        request.parameters["test_suite"] = "b"  # type: ignore[index]


def signed(**changes: Any) -> bytes:
    document = {**FIELDS, **CLAIMS, **changes}
    return json.dumps({name: value for name, value in document.items() if value is not ...}).encode()


def test_a_signed_payload_is_a_request_and_its_claims() -> None:
    request, claims = Request.from_signed(signed(purpose="why"))
    assert request.fields() == {**FIELDS, "purpose": "why"}
    assert request.attestation is None
    assert claims == Signed("https://ci.example.com", 1, 2, "0123456789abcdef")


@pytest.mark.parametrize(
    ("changes", "code", "where"),
    [
        *(({name: ...}, "request.missing-field", f"/{name}") for name in (*FIELDS, *CLAIMS)),
        *(
            ({name: value}, "request.wrong-type", f"/{name}")
            for name in ("iat", "exp")
            for value in (None, True, "1", 1.0, [1], {})
        ),
        ({"iat": -1}, "request.number", "/iat"),
        ({"exp": -1}, "request.number", "/exp"),
        *(
            ({"aud": value}, "request.wrong-type", "/aud")
            for value in (None, 1, True, ["https://ci.example.com"], {})
        ),
        *(
            ({"jti": value}, "request.malformed", "/jti")
            for value in ("", "1234567", "a" * 129, "12345678\n", "1234 678", "1234567é")
        ),
        ({"jti": 12345678}, "request.wrong-type", "/jti"),
        ({"attestation": ENVELOPE}, "request.unknown-field", "/attestation"),
        ({"managed": True}, "request.unknown-field", "/managed"),
    ],
)
def test_claims_are_required_and_strict(changes: dict[str, Any], code: str, where: str) -> None:
    with pytest.raises(RequestError) as error:
        Request.from_signed(signed(**changes))
    assert (error.value.code, error.value.where) == (code, where)


def test_every_field_of_a_request_is_covered_by_the_signature() -> None:
    """Threats A6: whoever adds a field must bind it."""
    request = Request.of({**FIELDS, "purpose": "why"})
    assert set(request.fields()) == {each.name for each in attrs.fields(Request)} - {"attestation"}


CHANGES: list[tuple[str, Any]] = [
    ("agent_id", "agent-1235"),
    ("agent_version", "2.0.2"),
    ("user_id", "Alice@example.com"),
    ("action", "run-test-suites"),
    ("commit", "sha1:" + COMMIT),
    ("purpose", ""),
    ("purpose", "why"),
]


@pytest.mark.parametrize(("name", "value"), CHANGES)
def test_the_first_field_that_differs_is_named(name: str, value: Any) -> None:
    one, other = Request.of(FIELDS), Request.of({**FIELDS, name: value})
    assert one.compare(other) == first_difference(one, other) == f"/{name}"
    assert other.compare(one) == f"/{name}"


@pytest.mark.parametrize(
    ("outer", "inner", "where"),
    [
        ({"a": 1}, {"a": True}, "/parameters/a"),
        ({"a": 0}, {"a": False}, "/parameters/a"),
        ({"a": 1}, {"a": "1"}, "/parameters/a"),
        ({"a": "é"}, {"a": "e\u0301"}, "/parameters/a"),
        ({"a": "x"}, {"a": "x "}, "/parameters/a"),
        ({"a": 1}, {}, "/parameters/a"),
        ({}, {"b": 1}, "/parameters/b"),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, None),
        ({"a": 1, "b": 2}, {"b": 3, "a": 1}, "/parameters/b"),
    ],
)
def test_parameters_are_compared_with_their_types(outer: Any, inner: Any, where: str | None) -> None:
    one, other = Request.of({**FIELDS, "parameters": outer}), Request.of({**FIELDS, "parameters": inner})
    assert one.compare(other) == where


def test_the_attestation_is_no_part_of_the_comparison() -> None:
    assert Request.parse(raw()).compare(Request.of(FIELDS)) is None


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-2, 2) | st.sampled_from(["", "1", "true"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=8,
)


@given(_json, _json)
def test_two_values_differ_exactly_where_their_json_differs(one: Any, other: Any) -> None:
    zero = {-0.0: 0.0}
    assert zero[0.0] == 0.0
    same = json.dumps(one, sort_keys=True).replace("-0.0", "0.0") == json.dumps(
        other, sort_keys=True
    ).replace("-0.0", "0.0")
    assert (first_difference(one, other) is None) is same
    assert first_difference(one, one) is None


def test_a_digest_depends_on_every_field_and_on_no_order() -> None:
    base = Request.of(FIELDS)
    assert Request.of(dict(reversed(FIELDS.items()))).digest == base.digest
    digests = {Request.of({**FIELDS, name: value}).digest for name, value in CHANGES}
    assert len(digests | {base.digest}) == len(CHANGES) + 1
    assert Request.parse(raw()).digest == base.digest


@pytest.mark.parametrize("commit", [COMMIT, "sha1:" + COMMIT, "ab" * 32, "sha256:" + "ab" * 32])
def test_the_object_id_has_no_prefix(commit: str) -> None:
    assert Request.of({**FIELDS, "commit": commit}).commit_hex in (COMMIT, "ab" * 32)
