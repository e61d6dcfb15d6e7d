"""What an owner holds back: a paused node, hours of the day, jobs that it left.

Nothing that is owed is held back. An attempt that was answered goes on to its end, shares of what
was contributed are released, and pay is taken. No machine knows of this: an owner that is held back
has no secrets for an attempt, and says so to the requester.
"""

from __future__ import annotations

import time
from typing import Final

from node.engine.services import Services
from node.home.hours import within
from node.store import jobs

#: What the requester is told.
TOLD_PAUSED: Final = "this owner begins no attempt now; it may later"
TOLD_LEFT: Final = "this owner has left the job; it releases what it owes and begins no attempt"


def closed_now(services: Services, since: float | None) -> str:
    """Why this node takes no job and begins no attempt now; empty while it does.

    `since`: when its owner paused it, as the store has it.
    """
    if since is not None:
        return "this node is paused (assay resume goes on)"
    hours = services.config.hours
    if not within(hours, minute_of_day()):
        return f"outside of this node's hours, {', '.join(hours)} (limits.hours in config.toml)"
    return ""


async def held(services: Services, job: bytes) -> tuple[str, str]:
    """Why no attempt of a job is begun: for this owner, for its requester. Empty where one is."""
    why, since = await services.store.read(lambda tx: (jobs.left(tx, job), jobs.paused_since(tx)))
    if why:
        return why, TOLD_LEFT
    why = closed_now(services, since)
    return (why, TOLD_PAUSED) if why else ("", "")


def minute_of_day() -> int:
    """Of this machine's local time, 0 to 1439: hours are told as its user's clock has them."""
    now = time.localtime()
    return 60 * now.tm_hour + now.tm_min
