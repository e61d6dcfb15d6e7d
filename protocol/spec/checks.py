"""Small rules that fields of a spec share, each stated once, for the wire and for TOML alike."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*\Z")


class Fault(NamedTuple):
    """A rule that is broken: the field's dotted path from where the rule stands, and why."""

    field: str
    message: str


def printable(field: str, text: str) -> Iterator[Fault]:
    """Names reach terminals: no control, formatting (bidirectional) or unassigned characters."""
    if not text.isprintable():
        yield Fault(field, f"{text!a:.60} holds characters that do not print")
    elif text != text.strip():
        yield Fault(field, f"{text!r:.60} begins or ends with a space")


def slug(field: str, text: str) -> Iterator[Fault]:
    """Short names that policies compare."""
    if not _SLUG.match(text):
        yield Fault(field, f"is {text!a:.60}; lower-case words joined by '-', such as 'research'")


def distinct(field: str, names: Sequence[str]) -> Iterator[Fault]:
    """Printable names, each once."""
    seen: set[str] = set()
    for i, name in enumerate(names):
        yield from printable(f"{field}[{i}]", name)
        if name in seen:
            yield Fault(f"{field}[{i}]", f"{name!r} stands here twice")
        seen.add(name)


def finite_range(low: float, high: float) -> Iterator[Fault]:
    """A range that values can be scaled by: its width is above 0 and no overflow."""
    if not low < high:
        yield Fault("high", f"is {high:g}; above low = {low:g} is needed")
    elif high - low == float("inf"):
        yield Fault("high", f"is {high:g}; the range from {low:g} is too wide for a float")


def least_threshold(members: int, corrupt: int) -> int:
    """The least t with 2t > n + c: no two sets of t members share only corrupt ones."""
    return (members + corrupt) // 2 + 1
