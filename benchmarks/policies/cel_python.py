"""cel-python, through its interpreter and through the runner that transpiles to Python."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable, Sequence
from typing import Any

import celpy
from celpy.adapter import json_to_cel
from celpy.evaluation import CELEvalError

from policies.combining import Decide, Outcome, indexed, linear
from policies.documents import Document
from policies.rules import Policy, Rule

logging.getLogger("celpy").setLevel(logging.CRITICAL)
# In this order, and before anybody else makes one: the first in a process chooses the trees of all.
_ENVIRONMENTS = {
    runner: celpy.Environment(runner_class=runner)
    for runner in (celpy.CompiledRunner, celpy.InterpretedRunner)
}


def _program(text: str, runner: type[celpy.Runner]) -> celpy.Runner:
    environment = _ENVIRONMENTS[runner]
    return environment.program(environment.compile(text))


def _run(applicable: Sequence[tuple[Rule, Any]], document: Document) -> Iterable[Outcome]:
    facts = {name: json_to_cel(value) for name, value in document.items()}
    for rule, program in applicable:
        try:
            yield rule, bool(program.evaluate(facts))
        except (CELEvalError, KeyError, TypeError, AttributeError):
            yield rule, None


def compiled(policy: Policy) -> Decide:
    return linear(policy, functools.partial(_program, runner=celpy.CompiledRunner), _run)


def compiled_indexed(policy: Policy) -> Decide:
    return indexed(policy, functools.partial(_program, runner=celpy.CompiledRunner), _run)


def interpreted(policy: Policy) -> Decide:
    return linear(policy, functools.partial(_program, runner=celpy.InterpretedRunner), _run)


def interpreted_indexed(policy: Policy) -> Decide:
    return indexed(policy, functools.partial(_program, runner=celpy.InterpretedRunner), _run)


def compile_text(text: str) -> celpy.Runner:
    """Parse one expression and make a program of it, for the interpreter."""
    return _program(text, celpy.InterpretedRunner)
