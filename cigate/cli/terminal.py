"""How the tour looks: colour and rules on a terminal, plain text in a pipe. What comes from outside is made inert."""

from __future__ import annotations

import os
import shutil
import textwrap
import unicodedata
from typing import TextIO

_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_EFFECT_STYLE = {"allow": "green", "deny": "red", "require_approval": "yellow", "throttle": "yellow"}
_LABEL = 14


class Terminal:
    """Prints a tour onto a stream."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._colour = stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        self._width = min(shutil.get_terminal_size((100, 24)).columns, 110) if stream.isatty() else 100

    def heading(self, text: str) -> None:
        """A line that begins a chapter."""
        self.line()
        rule = ("─" if self._colour else "-") * max(4, self._width - len(text) - 2)
        self.line(
            f"{self.styled(rule[:2], 'dim')} {self.styled(text, 'bold')} {self.styled(rule[2:], 'dim')}"
        )

    def line(self, text: str = "") -> None:
        self._stream.write(text.rstrip() + "\n")
        self._stream.flush()

    def prose(self, text: str) -> None:
        for line in textwrap.wrap(text, self._width, break_on_hyphens=False):
            self.line(line)

    def row(self, label: str, text: str, style: str = "") -> None:
        """One labelled row, wrapped under itself; each line of `text` begins on its own."""
        first = True
        for part in inert(text).splitlines() or [""]:
            wrapped = textwrap.wrap(
                part, self._width - _LABEL - 2, break_on_hyphens=False, drop_whitespace=False
            ) or [""]
            for line in wrapped:
                name = self.styled(f"{label:<{_LABEL}}", "cyan") if first else " " * _LABEL
                self.line(f"  {name}{self.styled(line, style)}")
                first = False

    def effect(self, effect: str, code: str) -> None:
        shown = self.styled(effect.replace("_", " ").upper(), _EFFECT_STYLE.get(effect, "bold"), "bold")
        self.line(f"  {self.styled('decision'.ljust(_LABEL), 'cyan')}{shown}  {self.styled(code, 'dim')}")

    def table(self, head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
        """Columns as wide as they need to be; the second one is coloured as an effect."""
        widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]
        self.line(
            "  "
            + "  ".join(
                self.styled(name.ljust(width), "dim") for name, width in zip(head, widths, strict=True)
            )
        )
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            cells[1] = self.styled(cells[1], _EFFECT_STYLE.get(row[1].replace(" ", "_"), ""))
            self.line("  " + "  ".join(cells))

    def styled(self, text: str, *styles: str) -> str:
        codes = [_STYLES[style] for style in styles if style]
        return f"\x1b[{';'.join(codes)}m{text}\x1b[0m" if self._colour and codes else text


def inert(text: str) -> str:
    """Text that can't move the cursor, ring or colour anything: control and format characters shown as escapes."""
    return "".join(
        character
        if character == "\n" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp")
        else ascii(character)[1:-1]
        for character in text
    )
