"""The page about conformance says what is so, and so do the lists of what peers get wrong."""

from __future__ import annotations

import pytest

from cigate.cel.defects import DEFECTS, known
from tests.conformance.page import PAGE, page
from tests.oracles.differences import DIFFERENCES
from tests.oracles.engines import CEL_PYTHON, OURS, agree


def test_the_page_is_what_the_engines_do_now():
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m tests.conformance.page"


def right(text):
    return OURS.prepare("1 / 0" if text == "error" else text, {})({})


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda one: one.name)
def test_a_defect_of_cel_python_is_as_it_is_told(defect):
    theirs = CEL_PYTHON.prepare(defect.expression, {})(defect.facts)
    ours = OURS.prepare(defect.expression, {})(defect.facts)
    assert theirs == right(defect.gives)
    assert ours == right(defect.right)
    assert ours != theirs


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda one: one.name)
def test_a_defect_of_cel_python_is_recognised_in_its_example(defect, answers):
    node, ours, theirs = answers(defect.expression, defect.facts)
    found = known(node, ours, theirs, defect.facts)
    assert found is defect


@pytest.fixture
def answers():
    from cigate import cel
    from cigate.cel import reference

    def answer(module, expression, facts):
        try:
            return module.compile(expression)(facts)
        except (cel.EvaluationError, cel.CompileError) as error:
            return cel.EvaluationError(error.code, error.message)

    def answers(expression, facts):
        return cel.parse(expression), answer(cel, expression, facts), answer(reference, expression, facts)

    return answers


@pytest.mark.parametrize("one", DIFFERENCES, ids=lambda one: f"{one.engine.name}: {one.what}")
def test_a_difference_of_a_peer_is_one(one):
    theirs = one.engine.prepare(one.expression, {})({})
    assert not agree(one.engine, theirs, OURS.prepare(one.expression, {})({}))
