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
