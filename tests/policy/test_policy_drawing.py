"""What a notebook shows: complete, accessible, and nothing but text where facts are concerned."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from attrs import define, field
from policy_writing import allow, ask, deny, facts, policy, throttle
from typing_extensions import override

from cigate.decision import Effect
from cigate.policy import explain
from cigate.policy.explaining.drawing import (
    _GROUNDS,
    decision_html,
    decision_markdown,
    policy_html,
    policy_markdown,
)

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'; --></code></div><h1>allow</h1>",
    "&lt;b&gt; & <b>",
    "| allow | `x` | **bold** [a](javascript:alert(1)) ![i](http://x/y)",
    "line\nnext | --- |\n# heading\n\n<hr>",
    "$\\href{javascript:alert(1)}{x}$",
    "\u202eevil\u202c\x00\x1b[31m\u2028",
    "http://evil.example/x user@evil.example",
    "{{7*7}} ${x}",
]
VOID = {"br"}


@define
class Read(HTMLParser):
    """The tags, attributes and text of a piece of HTML."""

    tags: list[tuple[str, dict[str, str | None]]] = field(factory=list)
    open: list[str] = field(factory=list)
    text: str = ""

    def __attrs_post_init__(self) -> None:
        super().__init__()

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    @override
    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    @override
    def handle_data(self, data: str) -> None:
        self.text += data


def read(html: str) -> Read:
    found = Read()
    found.feed(html)
    found.close()
    assert found.open == []
    return found


def drawn(hostile: str) -> tuple[Any, str, str]:
    engine = policy(
        allow("user.team == 'web' && parameters.ref.startsWith('v')", name="a", message=hostile[:400]),
        deny("user.team != 'web'", messageExpression="user.team"),
        ask(roles=["sre"]),
    )
    found = explain(engine, facts(user={"id": hostile, "team": hostile}, parameters={"ref": hostile}))
    return found, decision_html(found), decision_markdown(found)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_fact_gets_out_of_its_text_in_html(hostile: str) -> None:
    _, plain, _ = drawn("plain")
    _, html, _ = drawn(hostile)
    assert read(html).tags == read(plain).tags
    assert not re.search(r"<script|onerror=(?!alert)|javascript:\S*[\"']>", html)
    assert not any(not sign.isprintable() for sign in html)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_fact_gets_out_of_its_cell_in_markdown(hostile: str) -> None:
    _, _, plain = drawn("plain")
    _, _, text = drawn(hostile)
    assert len(text.splitlines()) == len(plain.splitlines())
    for line, usual in zip(text.splitlines(), plain.splitlines(), strict=True):
        assert len(re.findall(r"(?<!\\)\|", line)) == len(re.findall(r"(?<!\\)\|", usual))
        assert not re.search(r"(?<!\\)[`\[$]|<(?!/?code)", line), line
    assert all(sign.isprintable() or sign == "\n" for sign in text)


def test_a_decision_is_drawn_with_its_rules_what_decided_them_and_what_is_missing() -> None:
    engine = policy(
        allow("agent.managed && cost.estimate <= 100", name="cheap"),
        ask(roles=["sre"], name="people"),
        throttle("agent.trusted", key=["agent.id"], name="bucket"),
        deny(actions=["else"]),
    )
    html = read(decision_html(explain(engine, facts())))
    for said in (
        "deny",
        "policy.no-allow-rule",
        "no rule allows run-test-suite for these facts",
        "cost.estimate <= 100 is false: cost.estimate is 120",
        "1 other rule speaks of other actions only",
        "Still missing",
        "The least that would have been allowed",
        "cost.estimate at most 100 and one approval by sre for people",
    ):
        assert said in html.text, said
    markdown = decision_markdown(explain(engine, facts()))
    assert markdown.startswith("**deny** (policy\\.no\\-allow\\-rule)")
    assert "| cheap | allow | false | cost\\.estimate &lt;= 100 is false" in markdown


def test_a_table_says_which_cells_are_headings_and_what_it_is_of() -> None:
    for html in (
        decision_html(explain(policy(allow(), deny()), facts())),
        policy_html(policy(allow(), deny())),
    ):
        found = read(html)
        heads = [attributes.get("scope") for tag, attributes in found.tags if tag == "th"]
        assert heads.count("col") == 4
        assert heads.count("row") == 2
        assert [tag for tag, _ in found.tags].count("caption") == 1
        assert {tag for tag, _ in found.tags}.isdisjoint({"script", "style", "link", "img", "iframe"})


def test_the_word_stands_out_on_its_own_ground_whatever_the_theme() -> None:
    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    assert set(_GROUNDS) == set(Effect)
    for ground in _GROUNDS.values():
        assert 1.05 / (luminance(ground) + 0.05) >= 5


def test_a_policy_is_drawn_as_a_table_of_its_rules() -> None:
    engine = policy(allow("agent.managed", name="managed"), deny(name="never", actions=["a", "b"]))
    html = read(policy_html(engine))
    assert engine._repr_html_() == policy_html(engine)
    assert engine._repr_markdown_() == policy_markdown(engine)
    for said in ("tested", "managed", "agent.managed", "never", "always", "a, b", engine.digest):
        assert said in html.text
    assert "| managed | allow | all | agent\\.managed |" in policy_markdown(engine)


def test_a_long_policy_is_cut_and_says_so() -> None:
    engine = policy(*(deny() for _ in range(60)))
    assert "and 10 more" in read(policy_html(engine)).text
    assert "10 more apply" in read(decision_html(explain(engine, facts()))).text
