"""What node.control.holding.results holds, as JSON; written by scripts/json-shapes."""

from __future__ import annotations

from typing import TypedDict


class Held(TypedDict):
    # node.control.holding.results.Held
    paused: bool
    closed: str
    jobs_running: int
