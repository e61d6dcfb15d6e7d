"""Owners that are real daemons, and nobody yet in the place of their requester."""

from __future__ import annotations

from pathlib import Path

from processes import CHAIN_ID, ROOT, START_SECONDS, Swarm, until

from node.chain.client import ChainClient
from node.chain.deploy import deploy_bounty
from node.keys import Keys


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
        self.chain.launch()
        await until(self.chain.answers, START_SECONDS, "the chain answers")
        client = await ChainClient.open(self.chain.url, CHAIN_ID, None)
        try:
            self.contract = await deploy_bounty(client, self._keys)
        finally:
            client.close()
        self._configure()
        for owner in self.owners:
            owner.launch()
        for owner in self.owners:
            await until(owner.answers, START_SECONDS, f"{owner.home.path.name} answers")
