"""The page about the expression language names every function, macro and limit that there is."""

from __future__ import annotations

import re

from docs_pages import ROOT

from cigate.cel.cost import MAX_WORK, MOST_ITEMS
from cigate.cel.library import LIBRARY
from cigate.cel.parse import MAX_DEPTH, MAX_NODES, MAX_SOURCE
from cigate.cel.running import MAX_STEPS
from cigate.cel.syntax import MACROS
from cigate.cel.values import LONGEST_LIST, LONGEST_TEXT
from cigate.policy.cases import MOST_CASES

PAGE = (ROOT / "docs" / "reference" / "cel.md").read_text(encoding="utf-8")


def test_the_page_has_every_function_and_no_other():
    rows = PAGE.partition("## Functions")[2].partition("Functions of one's own")[0]
    named = {name for row in rows.splitlines() for name in re.findall(r"`([\w.]+)`", row.split(" | ")[0])}
    assert named == {name for name in LIBRARY if not name.startswith("@")} | {"sortBy"}


def test_the_page_has_every_macro():
    assert [name for name in MACROS if f"`{name}`" not in PAGE] == []


def test_the_page_has_every_limit():
    limits = (MAX_SOURCE, MAX_NODES, MAX_DEPTH, MAX_WORK, MOST_ITEMS, MAX_STEPS, LONGEST_TEXT, LONGEST_LIST)
    assert [limit for limit in limits if f"{limit:,}" not in PAGE] == []
    assert f"up to {MOST_CASES} sets of facts" in PAGE
