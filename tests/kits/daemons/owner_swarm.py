"""Owners that are real daemons, and nobody yet in the place of their requester."""

from __future__ import annotations

from pathlib import Path

from kits.daemons.processes import Swarm
from kits.paths import ROOT
from node.home.keys import Keys


class OwnerSwarm(Swarm):
    """A swarm whose requester is not started: the test takes its keys and its place."""

    def __init__(self, folder: Path, owners: int = 5, site: Path | None = None) -> None:
        super().__init__(folder, owners)
        self.processes.remove(self.requester)
        #: What the owners' processes import first (defences.write_site); None: nothing.
        self.site = site
        if site is not None:
            for owner in self.owners:
                path = f"PYTHONPATH={site}:{ROOT}"
                owner._command[:0] = ["env", path]

    @property
    def requester_keys(self) -> Keys:
        """Whose daemon is not started: the account that is funded, the peer that owners dial."""
        return self._keys

    async def start(self) -> None:
        """Chain, contract, then every owner at once."""
        await self.launch(*self.owners)
