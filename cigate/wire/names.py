"""The nearest known name, for messages about unknown ones."""

from __future__ import annotations

from collections.abc import Iterable

_LONGEST = 64


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that a person most likely meant, or None if none is near."""
    # difflib is quadratic, and the name may come from a stranger
    if len(name) > _LONGEST:
        return None
    from difflib import get_close_matches  # only whoever made a mistake waits for it

    by_folded = {each.casefold().replace("-", "_"): each for each in sorted(known, reverse=True)}
    close = get_close_matches(name.casefold().replace("-", "_"), by_folded, n=1)
    return by_folded[close[0]] if close else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The way out for an error about an unknown name: the nearest known one, or all of them."""
    every = sorted(known)
    near = nearest(name, every)
    if near is not None:
        return f"did you mean {near}?"
    return f"known: {', '.join(every)}" if every else "none is known here"
