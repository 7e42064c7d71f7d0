"""Every code block of README and docs is true: it runs, it shows what the page says, it loads."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from docs_pages import PAGES, ROOT, Reader, blocks

NOT_RUN = {
    "README.md": 2,
    "CONTRIBUTING.md": 1,
}
"""How many blocks of a page are not run, each for the reason that the page says. Few, and each one is here."""

_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_what_a_page_says_is_true_when_a_reader_follows_it(page, tmp_path):
    folder = tmp_path / "reader"
    folder.mkdir()
    Reader(folder).follow(page)


def test_only_these_blocks_are_not_run():
    skipped = {name(page): sum(block.mark == "not run" for block in blocks(page)) for page in PAGES}
    assert {page: count for page, count in skipped.items() if count} == NOT_RUN


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for link in _LINK.findall(text):
        if link.startswith(("https://", "mailto:")):
            continue
        target, _, anchor = link.partition("#")
        found = (page.parent / target).resolve() if target else page
        assert found.exists(), f"{name(page)} links to {link}"
        if anchor:
            headings = {_anchor(each) for each in _HEADING.findall(found.read_text(encoding="utf-8"))}
            assert anchor in headings, f"{name(page)} links to {link}; there are {sorted(headings)}"


def test_every_page_is_reached_from_the_index():
    reached, ahead = set(), [ROOT / "docs" / "index.md"]
    while ahead:
        page = ahead.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        links = (link.partition("#")[0] for link in _LINK.findall(page.read_text(encoding="utf-8")))
        ahead += [(page.parent / link).resolve() for link in links if link and "://" not in link]
    assert set(PAGES) - reached == set()


def test_nobody_is_told_to_install_the_other_project():
    """On PyPI the name cigate belongs to somebody else."""
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard"], capture_output=True, text=True
    )
    files = [ROOT / line for line in listed.stdout.splitlines()] or [
        *ROOT.glob("*.*"),
        *ROOT.glob("docs/**/*.*"),
    ]
    wrong = re.compile(
        r"""(?:pip|pipx|uv|tool) (?:install|add)[^\n]*?[\s'"]cigate(?!-sdk)(?=[\s'"\[=<>~!]|$)""",
        re.MULTILINE,
    )
    assert wrong.search("pip install -U 'cigate[sandbox]'")
    assert not wrong.search("pip install 'cigate-sdk[sandbox]'")
    told = {
        str(file.relative_to(ROOT))
        for file in files
        if file.is_file() and file != Path(__file__) and wrong.search(file.read_text("utf-8", "replace"))
    }
    assert told == set()


def _anchor(heading: str) -> str:
    plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
