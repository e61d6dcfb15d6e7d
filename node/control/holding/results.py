"""Results of the methods that hold a node back."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Held:
    """Whether this node takes jobs and begins attempts now.

    paused: whether its owner paused it
    closed: why it takes none now (paused, or outside of its hours); empty while it does
    jobs_running: jobs of this node that run, whose attempts are begun no more while it is closed
    """

    paused: bool
    closed: str
    jobs_running: int
