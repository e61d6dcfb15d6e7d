"""Which words are numbers: one rule for the words that a spec declares and for cells."""

from __future__ import annotations

import math
import re
from typing import Final

#: As polars reads it; tests compare the two.
_PLAIN: Final = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")

#: Words that are numbers as well, in any case.
TRUTHS: Final = {"true": 1.0, "false": 0.0}


def number_of(word: str) -> float | None:
    """The number that a word is, or None."""
    if word.lower() in TRUTHS:
        return TRUTHS[word.lower()]
    value = float(word) if _PLAIN.fullmatch(word) else math.inf
    return value if math.isfinite(value) else None
