"""Writes figures into the page about them, so that what a reader finds there always comes from a run.

A figure stands between `<!-- begin NAME -->` and `<!-- end NAME -->`; a script that is given `--write` replaces what
is between the two.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks" / "index.md"


def fill(blocks: Mapping[str, str], page: Path = PAGE) -> None:
    """Put each text where its name is marked.

    Raises:
        LookupError: the page has no such mark.
    """
    text = page.read_text(encoding="utf-8")
    for name, block in blocks.items():
        marked = re.compile(
            rf"(<!-- begin {re.escape(name)} -->\n).*?(<!-- end {re.escape(name)} -->)", re.DOTALL
        )
        if not marked.search(text):
            raise LookupError(f"{page} has no place for {name}")
        text = marked.sub(lambda found, block=block: f"{found[1]}\n{block.rstrip()}\n\n{found[2]}", text)
    page.write_text(text, encoding="utf-8")


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table: the first column to the left, the others to the right."""
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
