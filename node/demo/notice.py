"""The notice of `finish`: what no contribution is owed stays in the contract for a while."""

from __future__ import annotations

import time
from typing import Any, Final

from node.console.amounts import money, span
from node.demo.screen import Screen
from node.demo.swarm.world import World

#: What the contract returns is there a few blocks after its notice is over.
_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.5


def wait_out(job: str, shown: dict[str, Any], world: World, screen: Screen) -> dict[str, Any]:
    """Until what no contribution is owed is back at the requester; what its daemon then shows.

    The contract keeps that for a while after `finish`: nobody is to watch it do so, and the chain
    is the demo's own. What does not come back is found by the verdict.
    """
    deadline = time.monotonic() + _SECONDS
    returns_at = shown["money"]["returns_at"]
    if returns_at is None:
        return shown
    screen.stage("the notice after finish: owners are paid, and what is left returns")
    ahead = max(0, int(returns_at) - world.ledger.now())
    rest = money(int(shown["money"]["awaited"]))
    screen.note(
        f"the contract keeps {rest} for {span(ahead)} more, so that a round that the chain lost "
        "can be put back"
    )
    screen.note("this chain is the demo's own: its clock is set ahead by that")
    world.ledger.advance(ahead)
    while shown["money"]["returns_at"] is not None and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
        shown = world.requester.ask("job.show", job=job)
    return shown
