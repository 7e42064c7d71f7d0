"""A plot of microseconds over rules, both axes logarithmic, as SVG that any page can show."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape

_WIDTH, _HEIGHT = 960, 560
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 390, 40, 50
_COLOURS = (
    "#1f77b4",
    "#8c564b",
    "#2ca02c",
    "#9467bd",
    "#17becf",
    "#bcbd22",
    "#e377c2",
    "#ff7f0e",
    "#7f7f7f",
    "#3b5b8c",
)
_INDEXED = ", indexed"


def svg(title: str, lines: Mapping[str, Mapping[int, float]], emphasis: Mapping[str, str]) -> str:
    """One line for each name: rules to microseconds. `emphasis` gives the names that matter most their colours."""
    values = [value for line in lines.values() for value in line.values()]
    rules = sorted({at for line in lines.values() for at in line})
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    first, last = math.log10(rules[0]), math.log10(max(rules[-1], rules[0] * 10))

    def x(count: int) -> float:
        return _LEFT + (math.log10(count) - first) / (last - first) * (_WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - (math.log10(value) - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        f'font-size="12"><rect width="100%" height="100%" fill="white"/>',
        f'<text x="{_LEFT}" y="22" font-size="15">{escape(title)}</text>',
    ]
    for power in range(low, high + 1):
        at = y(10.0**power)
        parts.append(
            f'<line x1="{_LEFT}" y1="{at:.1f}" x2="{_WIDTH - _RIGHT}" y2="{at:.1f}" stroke="#dddddd"/>'
        )
        parts.append(f'<text x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{_micro(10.0**power)}</text>')
    for count in rules:
        parts.append(
            f'<text x="{x(count):.1f}" y="{_HEIGHT - _BOTTOM + 20}" text-anchor="middle">{count:,} rules</text>'
        )
    labels = []
    families = list(dict.fromkeys(name.removesuffix(_INDEXED) for name in lines if name not in emphasis))
    for name, line in lines.items():
        if name in emphasis:
            colour, width = emphasis[name], 3.0
        else:
            colour, width = _COLOURS[families.index(name.removesuffix(_INDEXED)) % len(_COLOURS)], 1.3
        points = " ".join(f"{x(count):.1f},{y(value):.1f}" for count, value in sorted(line.items()))
        dashes = ' stroke-dasharray="5 3"' if name.endswith(_INDEXED) else ""
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width}"{dashes}/>'
        )
        for count, value in line.items():
            parts.append(
                f'<circle cx="{x(count):.1f}" cy="{y(value):.1f}" r="{width + 0.7}" fill="{colour}"/>'
            )
        end, value = max(line.items())
        short = f" at {end:,} rules" if end < rules[-1] else ""
        labels.append((y(value), x(end), f"{name}: {_micro(value)}{short}", colour, name in emphasis))
    parts += _placed(labels)
    return "\n".join([*parts, "</svg>", ""])


def _placed(labels: list[tuple[float, float, str, str, bool]]) -> list[str]:
    """The names at the right, moved down as far as it takes not to stand on each other, joined to their lines."""
    found, free = [], float(_TOP)
    for at, end, text, colour, strong in sorted(labels):
        place = max(at, free)
        free = place + 15
        weight = ' font-weight="bold"' if strong else ""
        left = _WIDTH - _RIGHT + 25
        found.append(
            f'<line x1="{end:.1f}" y1="{at:.1f}" x2="{left - 4}" y2="{place:.1f}" stroke="#cccccc"/>'
        )
        found.append(f'<text x="{left}" y="{place + 4:.1f}" fill="{colour}"{weight}>{escape(text)}</text>')
    return found


def _micro(value: float) -> str:
    if value >= 1e6:
        return f"{value / 1e6:.3g} s"
    return f"{value / 1000:.3g} ms" if value >= 1000 else f"{value:.3g} µs"
