"""A decision and a policy as a notebook shows them: a coloured word, the reasons, a table of the rules.

Facts come from whoever asks, so every text is escaped, and what can't be printed is shown as its number: no
markup, no script, no formula and no turned direction of writing gets through. Colours stand on their own ground,
and all else takes the notebook's, so that it reads in a dark theme as in a light one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Final

from cigate.decision import Effect
from cigate.policy.absence import Outcome

if TYPE_CHECKING:
    from cigate.policy.engine import PolicyEngine
    from cigate.policy.explaining.explanation import Explanation, RuleView

_MOST_ROWS: Final = 50
_MOST_CHANGES: Final = 5
_LONGEST: Final = 500

# White on each of them has a contrast of at least 5 to 1.
_GROUNDS: Final = {
    Effect.ALLOW: "#1a7035",
    Effect.DENY: "#b42318",
    Effect.REQUIRE_APPROVAL: "#8a5300",
    Effect.THROTTLE: "#0b5cad",
}
_WORDS: Final = {
    Effect.ALLOW: "allow",
    Effect.DENY: "deny",
    Effect.REQUIRE_APPROVAL: "require approval",
    Effect.THROTTLE: "throttle",
}
_LINE: Final = "1px solid rgba(128,128,128,.5)"
_CELL: Final = f"text-align:left;vertical-align:top;padding:.3em .8em;border-bottom:{_LINE}"
_SHORT: Final = f"{_CELL};white-space:nowrap"
_HEADING: Final = "margin:.8em 0 .2em;font-weight:bold"
_MARKUP: Final = re.compile(r"([\\`*_{}\[\]()#+\-.!|~$>&<:@/])")


def decision_html(explanation: Explanation) -> str:
    """A decision, why it is so, and what would have been allowed, as one piece of HTML."""
    decision = explanation.decision
    ground = f"background:{_GROUNDS[decision.effect]};color:#fff;padding:.15em .6em;border-radius:.3em"
    parts = [
        f'<p style="margin:.2em 0"><strong style="{ground}">{_WORDS[decision.effect]}</strong> '
        f"{_code(decision.code)}</p>",
        _list(reason.message for reason in decision.reasons),
    ]
    if explanation.rules:
        parts.append(_rules_table(explanation.rules, explanation.not_applicable))
    for heading, lines in _told(explanation):
        parts.append(f'<p style="{_HEADING}">{_text(heading)}</p>{_list(lines)}')
    return _piece(parts)


def decision_markdown(explanation: Explanation) -> str:
    """The same as Markdown."""
    decision = explanation.decision
    lines = [f"**{_WORDS[decision.effect]}** ({_mark(decision.code)})", ""]
    lines += [f"- {_mark(reason.message)}" for reason in decision.reasons]
    if explanation.rules:
        rows = [
            (rule.name, _WORDS[rule.effect], _outcome(rule), "; ".join(_why(rule)))
            for rule in explanation.rules[:_MOST_ROWS]
        ]
        lines += ["", *_markdown_table(("rule", "effect", "outcome", "decided by"), rows)]
        lines += ["", _mark(_rest(explanation.rules, explanation.not_applicable))]
    for heading, told in _told(explanation):
        lines += ["", f"**{_mark(heading)}**", "", *(f"- {_mark(line)}" for line in told)]
    return "\n".join(lines)


def policy_html(policy: PolicyEngine) -> str:
    """A policy: its name, and a table of its rules."""
    rows = [
        f'<tr><th scope="row" style="{_SHORT}">{_text(name)}</th>'
        f'<td style="{_SHORT}">{_text(effect)}</td><td style="{_CELL}">{_text(actions)}</td>'
        f'<td style="{_CELL}">{_code(when)}</td></tr>'
        for name, effect, actions, when in _rules_of(policy)
    ]
    return _piece(
        [
            f'<p style="margin:.2em 0"><strong>{_text(policy.name)}</strong>, sequence {policy.sequence}</p>',
            _table(f"{len(policy.rules)} rules", ("rule", "effect", "actions", "when"), rows),
            f'<p style="margin:.2em 0">{_code(policy.digest)}</p>',
        ]
    )


def policy_markdown(policy: PolicyEngine) -> str:
    """The same as Markdown."""
    lines = [f"**{_mark(policy.name)}**, sequence {policy.sequence}", ""]
    lines += _markdown_table(("rule", "effect", "actions", "when"), _rules_of(policy))
    return "\n".join([*lines, "", _mark(policy.digest)])


def _told(explanation: Explanation) -> Iterable[tuple[str, Sequence[str]]]:
    """What is missing and what would have been allowed, each under its heading."""
    allowed = explanation.decision.effect is Effect.ALLOW
    if explanation.missing:
        yield ("To be taken first" if allowed else "Still missing"), explanation.missing
    found = explanation.counterfactual
    if found.changes:
        words = [change.words for change in found.changes[:_MOST_CHANGES]]
        if len(found.changes) > _MOST_CHANGES:
            words.append(f"or one of {len(found.changes) - _MOST_CHANGES} other changes of that size")
        yield "The least that would have been allowed", words
    elif found.why and found.why not in explanation.missing:
        yield "What would have been allowed", (found.why,)


def _rules_table(rules: Sequence[RuleView], not_applicable: int) -> str:
    rows = [
        f'<tr><th scope="row" style="{_SHORT}">{_text(rule.name)}</th>'
        f'<td style="{_SHORT}">{_WORDS[rule.effect]}</td><td style="{_SHORT}">{_outcome(rule)}</td>'
        f'<td style="{_CELL}">{"<br>".join(_code(line) for line in _why(rule))}</td></tr>'
        for rule in rules[:_MOST_ROWS]
    ]
    table = _table("Rules that apply", ("rule", "effect", "outcome", "decided by"), rows)
    return f'{table}<p style="margin:.2em 0">{_text(_rest(rules, not_applicable))}</p>'


def _rest(rules: Sequence[RuleView], not_applicable: int) -> str:
    more = len(rules) - _MOST_ROWS
    shown = f"{more} more apply; " if more > 0 else ""
    speak = "rule speaks" if not_applicable == 1 else "rules speak"
    return f"{shown}{not_applicable} other {speak} of other actions only"


def _rules_of(policy: PolicyEngine) -> list[tuple[str, str, str, str]]:
    found = [
        (
            rule.name,
            _WORDS[rule.effect],
            "all" if rule.actions is None else ", ".join(rule.actions),
            "always" if rule.expression is None else rule.expression,
        )
        for rule in policy.rules[:_MOST_ROWS]
    ]
    more = len(policy.rules) - _MOST_ROWS
    return [*found, (f"and {more} more", "", "", "")] if more > 0 else found


def _outcome(rule: RuleView) -> str:
    return "in error" if rule.outcome is Outcome.ERROR else rule.outcome.value


def _why(rule: RuleView) -> list[str]:
    said = [one.to_text() for one in rule.decided]
    return said or [rule.why or "no condition"]


def _piece(parts: Iterable[str]) -> str:
    # The classes keep a notebook from reading a dollar sign in a fact as the start of a formula.
    return f'<div class="tex2jax_ignore mathjax_ignore">{"".join(parts)}</div>'


def _table(caption: str, heads: Sequence[str], rows: Iterable[str]) -> str:
    head = "".join(f'<th scope="col" style="{_CELL}">{_text(name)}</th>' for name in heads)
    return (
        '<table style="border-collapse:collapse;margin:.6em 0">'
        f'<caption style="text-align:left;font-weight:bold;color:inherit">{_text(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _list(lines: Iterable[str]) -> str:
    items = "".join(f"<li>{_text(line)}</li>" for line in lines)
    return f'<ul style="margin:.2em 0">{items}</ul>' if items else ""


def _code(text: str) -> str:
    return f'<code style="white-space:pre-wrap;color:inherit;background:none">{_text(text)}</code>'


def _text(text: str) -> str:
    return escape(_printable(text))


def _mark(text: str) -> str:
    """A text as Markdown that shows nothing but the text."""
    return (
        _MARKUP.sub(r"\\\1", _printable(text))
        .replace("\\<", "&lt;")
        .replace("\\&", "&amp;")
        .replace("\\>", "&gt;")
    )


def _printable(text: str) -> str:
    """The text on one line, cut where it is long; what is no sign of its own is shown as its number."""
    cut = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return "".join(
        sign if sign.isprintable() else " " if sign in "\n\t" else f"\\u{ord(sign):04x}" for sign in cut
    )


def _markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    written = ["| " + " | ".join(_mark(cell) for cell in row) + " |" for row in rows]
    return ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads), *written]
