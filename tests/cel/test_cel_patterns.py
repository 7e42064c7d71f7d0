"""`matches` is RE2's, whichever way a pattern takes to its answer."""

from __future__ import annotations

from typing import Any

import pytest
import re2
from hypothesis import given, settings
from hypothesis import strategies as st

from cigate.cel import patterns
from cigate.cel.error import EvaluationError
from cigate.cel.pattern_shapes import shape


def by_re2(pattern: str, text: str) -> bool:
    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern, options).search(text) is not None


def code_of(error: pytest.ExceptionInfo[EvaluationError]) -> str:
    return error.value.code


SHAPES = [
    ("^prod$", ("equals", ("prod",))),
    ("^$", ("equals", ("",))),
    ("^(dev|test|prod)$", ("equals", ("dev", "test", "prod"))),
    ("^(?:dev|test)-(?:a|b)$", ("equals", ("dev-a", "dev-b", "test-a", "test-b"))),
    ("^a$|^b$", ("equals", ("a", "b"))),
    ("^release/", ("prefix", ("release/",))),
    ("^release/.*", ("prefix", ("release/",))),
    ("^(?:a|b)", ("prefix", ("a", "b"))),
    ("^a|^b", ("prefix", ("a", "b"))),
    (r"\.py$", ("suffix", (".py",))),
    (r".*\.py$", ("suffix", (".py",))),
    ("(py|pyi)$", ("suffix", ("py", "pyi"))),
    ("secret", ("contains", ("secret",))),
    (".*secret.*", ("contains", ("secret",))),
    ("x{3}", ("contains", ("xxx",))),
    ("", ("contains", ("",))),
    ("a|", ("contains", ("",))),
    ("é+$", None),
    ("^é$", ("equals", ("é",))),
    ("^a|b$", None),  # two tests, not one
    ("^release/.*$", None),  # no newline may follow
    ("^.*x", None),
    ("(?i)prod", None),
    ("a|b", None),  # RE2 is faster than trying one after the other
    (r"\bx", None),
    ("^[ab]$", None),
    ("^^a", None),
    ("a$$", None),
    ("(a", None),
    (r"\Qa|b\E", None),
    ("[]|]", None),
]


@pytest.mark.parametrize(("pattern", "test"), SHAPES, ids=[pattern for pattern, _ in SHAPES])
def test_a_pattern_of_literals_is_known_as_a_test_of_strings(pattern: str, test: object) -> None:
    assert patterns.string_test(pattern) == test


TEXTS = [
    "",
    "\n",
    "prod",
    "prod\n",
    "\nprod",
    "dev",
    "a",
    "b",
    "ab",
    "dev-b",
    "release/",
    "release/1",
    "release/1\n",
    "x.py",
    "x.py\n",
    "a secret",
    "xxx",
    "é",
    "éé\n",
    "v1.20",
    "v1.20\n",
    "v1.٣",
    "a/b",
    "repo/x/dev",
    "repo/\n/dev",
]
LINEAR = [
    ("^[a-z][a-z0-9-]{0,40}$", True),
    ("^[a-z]+/[a-z]+$", True),  # the sign between is in neither
    (r"^v\d+\.\d+$", True),
    ("^release/.*$", True),
    ("^repo/[^/]+/(dev|prod)$", True),
    ("^[^@]+@[a-z]+$", True),
    ("^[a-z]*a[a-z]$", True),  # one that gives back, with a short rest
    ("^[a-z]*[a-z]*$", False),  # quadratic in Python
    ("^.*a.*$", False),
    ("^[a-z]*(a|ab)[0-9]$", False),  # two of the group may fit
    (f"^a*{'a' * 40}$", False),  # too much to try again
    ("[a-z]+$", False),  # would be searched from each place
    ("^(a+)+$", False),
    ("^[a-z]+?$", False),
    ("^[[:alpha:]]+$", False),
    (r"^[\d-x]$", False),
    ("^a{2}{3}$", False),
    ("^a{1001}$", False),
]


@pytest.mark.parametrize(("pattern", "trusted"), LINEAR, ids=[pattern for pattern, _ in LINEAR])
def test_python_is_trusted_only_with_what_takes_linear_time_there(pattern: str, trusted: bool) -> None:
    known = shape(pattern)
    assert (known is not None and known.linear() is not None) is trusted


@pytest.mark.parametrize("pattern", [p for p, _ in SHAPES if p != "(a"] + [p for p, _ in LINEAR[:-2]])
@pytest.mark.parametrize(
    "text",
    TEXTS,
)
def test_a_table_of_patterns_and_texts_has_the_answers_of_re2(pattern: str, text: str) -> None:
    assert patterns.matcher(pattern)(text) is by_re2(pattern, text)


signs = st.sampled_from(["a", "b", "-", "/", ".", "é", "0", " ", "_", "\t"])
atoms = st.one_of(
    signs.map(lambda sign: "\\" + sign if sign in "./-" else sign),
    st.sampled_from(
        ["[ab]", "[a-c0-9]", "[^a]", "[^/]", "[a-]", "[-b]", "[^a-z]", r"[\]a]", "[.]", ".", r"\d", r"\w"]
    ),
    st.sampled_from(
        [r"\s", r"[\w.-]", r"[\d_]", r"[^\s]", "(a|b)", "(?:ab|a)", "(a|ba|é)", "(|a)", "[[:digit:]]"]
    ),
)
counts = st.sampled_from(["", "", "", "*", "+", "?", "{2}", "{0}", "{1,3}", "{2,}", "{0,2}"])
steps = st.builds(lambda atom, count: atom + count, atoms, counts)
branches = st.builds(
    lambda start, inner, end: start + "".join(inner) + end,
    st.sampled_from(["", "^", "^"]),
    st.lists(steps, max_size=5),
    st.sampled_from(["", "$", "$"]),
)
known_patterns = st.one_of(branches, branches, st.lists(branches, min_size=2, max_size=3).map("|".join))
texts = st.text(st.sampled_from("aabbc0/-._é٣ \n\t]A\u2028😀"), max_size=9)


@settings(max_examples=1500, deadline=None)
@given(known_patterns, st.lists(texts, min_size=6, max_size=12))
def test_every_way_to_an_answer_agrees_with_re2(pattern: str, samples: list[str]) -> None:
    found = patterns.matcher(pattern)
    for text in samples:
        assert found(text) is by_re2(pattern, text), (pattern, text)


@settings(max_examples=600, deadline=None)
@given(
    st.text(st.sampled_from(r"^$.|*+?()[]{}\-,:=!<>PaAbdDwsQE019i é"), max_size=8),
    st.lists(texts, min_size=3, max_size=6),
)
def test_no_pattern_however_odd_is_taken_for_another(pattern: str, samples: list[str]) -> None:
    try:
        patterns.checked(pattern)
    except ValueError:
        assert shape(pattern) is None or "{" in pattern
        return
    for text in samples:
        assert patterns.matcher(pattern)(text) is by_re2(pattern, text), (pattern, text)


@settings(max_examples=200, deadline=None)
@given(known_patterns, texts)
def test_the_public_engine_serves_as_well(pattern: str, text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(patterns, "_engine", lambda: patterns._Public)
        compiled = patterns._compiled(pattern, groups=True)
        assert patterns._searcher(compiled)(text) is by_re2(pattern, text)


def test_an_engine_that_answers_wrongly_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    class Deaf(patterns._PublicPattern):
        """One that finds everything at the start."""

        def Match(self, _: object, text: bytes, begin: int, end: int) -> list[tuple[int, int]]:
            return [(0, 0)]

    class Wrong:
        """An engine of another version."""

        class RE2(Deaf):
            """Its pattern."""

            Options = re2.Options
            Anchor = patterns._Public.RE2.Anchor

    below = re2._re2
    monkeypatch.setattr(patterns._PublicPattern, "__init__", lambda *_: None)
    monkeypatch.setattr(patterns._PublicPattern, "ok", lambda _: True)
    monkeypatch.setattr(re2, "_re2", Wrong)
    assert below is not re2._re2
    patterns._engine.cache_clear()
    try:
        assert patterns._engine() is patterns._Public
    finally:
        monkeypatch.undo()
        patterns._engine.cache_clear()


@pytest.mark.parametrize("pattern", ["(", "a{1001}", "(?=a)", "[b-a]", r"(a)\1", "*", "\ud800"])
def test_what_is_no_pattern_is_told_at_the_check_and_raises_at_run_time(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        patterns.checked(pattern)
    with pytest.raises(EvaluationError) as error:
        patterns.matcher(pattern)
    assert code_of(error) == "cel.invalid"
    assert pattern not in str(error.value) or len(pattern) == 1


def test_the_check_uses_the_words_of_re2() -> None:
    with pytest.raises(ValueError, match="invalid repetition size"):
        patterns.checked("a{1001}")


def test_a_pattern_that_outgrows_its_memory_is_an_error_and_never_no_match() -> None:
    huge = r"(?:\pL|\pN){1000}"
    with pytest.raises(ValueError, match="too large"):
        patterns.checked(huge)
    with pytest.raises(EvaluationError) as error:
        patterns.matcher(huge)
    assert code_of(error) == "cel.invalid"


def test_a_text_too_long_for_a_pattern_is_an_error() -> None:
    large = "(?i)[a-z]{1000}[0-9]{1000}x"
    with pytest.raises(EvaluationError) as error:
        patterns.matcher(large)("a" * (1 << 20))
    assert code_of(error) == "cel.too-costly"


def test_a_search_that_starves_the_automaton_still_finds() -> None:
    # more states than its memory holds: RE2 goes on with another engine, and must not lose the match
    text = ("ab" * 7 + "aab") * 200
    assert patterns.matcher("[ab]*a[ab]{300}$")("b" + text + "a" + "b" * 300)


@pytest.mark.parametrize("pattern", ["(?i)a", "^[^/]+$", "^a.*$", r"\pL"])
@pytest.mark.parametrize("text", ["\ud800", "a\udfff"])
def test_half_a_character_is_an_error(pattern: str, text: str) -> None:
    with pytest.raises(EvaluationError) as error:
        patterns.matcher(pattern)(text)
    assert code_of(error) == "cel.invalid"


def found_in(pattern: str, text: str) -> list[Any]:
    return list(patterns.finder(pattern).each(patterns.encoded(text)))


def test_a_finder_gives_every_match_once_with_its_groups() -> None:
    assert found_in("a(b)?", "abéa") == [[(0, 2), (1, 2)], [(4, 5), (-1, -1)]]
    assert found_in("b*", "abé") == [[(0, 0)], [(1, 2)], [(4, 4)]]
    assert found_in("", "é") == [[(0, 0)], [(2, 2)]]


def test_a_finder_stops_where_searching_again_would_cost_too_much() -> None:
    with pytest.raises(EvaluationError) as error:
        found_in("x.*y|x", "x" * 500_000)
    assert code_of(error) == "cel.too-costly"


@pytest.mark.parametrize(
    "pattern",
    [
        "^(main|release/.*)$",
        "^(?:main|rel-[0-9]+)$",
        "^(a)|(b)$",
        "^((a|b)|c.*)$",
        r"^(a\)|b.*)$",
        "^([)]|b.*)$",
        "^(|a.*)$",
        "^(a|b.*c.*)$",
        r"^(a|b\\.*)$",
        "^[a-z-]+$|^x$",
        "^(a|b)*$",
    ],
)
@given(text=st.text(alphabet="abcx()|[]\\*mainrel-/.0\n", max_size=8))
def test_alternatives_that_are_bound_alike_mean_what_re2_says(pattern: str, text: str) -> None:
    expected = re2.compile(pattern)
    for each in (text, f"release/{text}", f"main{text}", f"c{text}", f"b{text}"):
        assert patterns.matcher(pattern)(each) is (expected.search(each) is not None)
