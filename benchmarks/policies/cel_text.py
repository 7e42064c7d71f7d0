"""A rule as one CEL expression, the same for every engine that reads CEL."""

from __future__ import annotations

from policies.generate import cel, unapproved
from policies.rules import Either, Rule


def condition(rule: Rule, root: str = "") -> str:
    """The rule's condition; for a require_approval rule with the approval that it wants."""
    text = cel(rule.when, root)
    if isinstance(rule.when, Either) and rule.role:
        text = f"({text})"
    return f"{text} && {unapproved(rule.role, root)}" if rule.role else text


def guarded(rule: Rule, actions_root: str = "") -> str:
    """The condition with the rule's actions before it, for an engine that is handed one expression a rule."""
    text = condition(rule, actions_root)
    if rule.actions is None:
        return text
    names = ", ".join(f'"{name}"' for name in rule.actions)
    return f"{actions_root}action in [{names}] && ({text})"
