"""Owners that are real daemons, and nobody yet in the place of their requester."""

from __future__ import annotations

from pathlib import Path

from kits.daemons.processes import Swarm
from node.home.keys import Keys


class OwnerSwarm(Swarm):
    """A swarm whose requester is not started: the test takes its keys and its place."""

    def __init__(self, folder: Path, owners: int = 5, site: Path | None = None) -> None:
        super().__init__(folder, owners)
        self.processes.remove(self.requester)
        #: What the owners' processes run first (defences.write_site); None: nothing.
        self.site = site
        for owner in self.owners:
            owner.site = site

    @property
    def requester_keys(self) -> Keys:
        """Whose daemon is not started: the account that is funded, the peer that owners dial."""
        return self._keys

    async def start(self) -> None:
        """Chain, contract, then every owner at once."""
        await self.launch(*self.owners)
