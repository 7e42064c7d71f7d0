"""The command line itself: which parsers are made, for making all takes longer than most verbs."""

from __future__ import annotations

import argparse

import pytest

from cigate.cli.command import VERBS, command_line


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_the_parser_of_one_verb_is_the_one_that_the_whole_command_line_has(verb: str) -> None:
    def helps(asked: str) -> dict[str, str]:
        actions = command_line(asked)._actions
        (verbs,) = (each for each in actions if isinstance(each, argparse._SubParsersAction))
        return {name: parser.format_help() for name, parser in verbs.choices.items()}

    assert helps(verb) == {verb: helps("")[verb]}
    assert helps("").keys() == VERBS
