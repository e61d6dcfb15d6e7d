"""What a person sees of a spec that was proposed, and of predictions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from node.console.show import Part


def predicted(p: Mapping[str, Any]) -> list[Part]:
    """Where predictions are, of how many rows, and why some have none."""
    rows, unused = p["rows"], p["unused"]
    parts: list[Part] = [*(f"note: {note}" for note in p["notes"])]
    parts.append(f"{rows - unused} of {rows} rows predicted: {p['out']}")
    parts.append(f"columns: {', '.join(p['columns'])}")
    if unused:
        parts.append(f"{unused} rows have an empty prediction; the first: {p['why']}")
    return parts


def proposed(p: Mapping[str, Any]) -> list[Part]:
    """What a proposed spec is made of, and what its reader is to do with it."""
    parts: list[Part] = [*(f"note: {note}" for note in p["notes"])]
    guessed = " (guessed; --target names another)" if p["guessed"] else ""
    parts.append(f"{p['out']}: {len(p['features'])} features of {p['rows']} rows")
    parts.append(f"target {p['target']}{guessed}")
    parts += [f"left out: {name} {why}" for name, why in p["left_out"]]
    parts.append(
        "ranges and words are proposals made of this file: declare what you know of the population"
    )
    return [*parts, f"next: edit it, then assay job check {p['out']}"]
