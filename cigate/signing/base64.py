"""Base64 that has one spelling only: padded, canonical, and in one alphabet."""

from __future__ import annotations

import base64
import re

_STANDARD = re.compile(r"[A-Za-z0-9+/]*={0,2}")
_URL_SAFE = re.compile(r"[A-Za-z0-9_-]*={0,2}")


def encode(content: bytes) -> str:
    """Standard alphabet, padded (RFC 4648, section 4)."""
    return base64.b64encode(content).decode("ascii")


def decode(text: str) -> bytes:
    """The bytes of a text in the standard alphabet.

    Raises:
        ValueError: it is not the one canonical, padded spelling of any bytes.
    """
    if _STANDARD.fullmatch(text) is None:
        raise ValueError("it is not base64 in the standard alphabet")
    return _canonical(text, text)


def decode_either(text: str) -> bytes:
    """The bytes of a text in the standard *or* the URL-safe alphabet, never a mixture (DSSE v1 allows both).

    Raises:
        ValueError: it is not a canonical, padded spelling of any bytes.
    """
    if _STANDARD.fullmatch(text) is None and _URL_SAFE.fullmatch(text) is None:
        raise ValueError("it is not base64 in one alphabet")
    return _canonical(text, text.replace("-", "+").replace("_", "/"))


def _canonical(text: str, standard: str) -> bytes:
    if len(text) % 4:
        raise ValueError("it is not padded to a multiple of four characters")
    content = base64.b64decode(standard, validate=True)
    if encode(content) != standard:
        raise ValueError("its unused bits are not zero, or it has padding where none belongs")
    return content
