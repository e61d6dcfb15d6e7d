"""The node's parts as performers use them, and the way of an outcome back to its machine."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from node.chain.client import ChainClient
from node.chain.intents.intents import Intents
from node.engine.clock import Clock
from node.engine.engine import Engine
from node.engine.sharing import Shared
from node.home.config import Config
from node.home.home import Home
from node.home.keys import Keys
from node.home.tokens import load_all
from node.net.swarm import Swarm
from node.store import records
from node.store.blobs import BlobLost, BlobRef, Blobs
from node.store.store import Store
from node.workers.compute import Compute
from protocol.books.evidence import Claims
from protocol.books.typed_data import Domain
from protocol.errors import FatalError, InputError
from protocol.machines.machine import JobContext
from protocol.tokens import NO_TOKENS, Tokens
from protocol.wire.envelope import Context

log = logging.getLogger("assay.services")


@dataclass
class Services:
    """The parts of a running node."""

    home: Home
    config: Config
    keys: Keys
    store: Store
    blobs: Blobs
    swarm: Swarm
    chain: ChainClient
    intents: Intents
    compute: Compute
    engine: Engine
    clock: Clock = field(default_factory=Clock)
    #: What everybody can claim of a job, while its claims are made (node.perform.chain).
    claims: Shared[Claims] = field(default_factory=Shared)
    #: Takes a frame that a peer handed on: (frame, that peer's id). Set once the inbox is there.
    take: Callable[[bytes, bytes], Awaitable[None]] = field(init=False)

    @property
    def domain(self) -> Domain:
        """Where this node's EIP-712 signatures hold."""
        if self.chain.contract is None:
            raise FatalError("the node runs without a contract")
        return Domain(self.chain.chain_id, self.chain.contract)

    def tokens(self) -> Tokens:
        """The tokens of this chain that the user calls by name, read anew. Raises InputError."""
        return load_all(self.home).on(self.chain.chain_id)

    def tokens_shown(self) -> Tokens:
        """The same for what is only shown: a damaged list costs the names, and stops no job."""
        try:
            return self.tokens()
        except InputError as error:
            log.warning("amounts are shown without tokens' names: %s", error)
            return NO_TOKENS

    def place(self, job: bytes, round_: int = 0, attempt: int = 0) -> Context:
        """Where a message of this node belongs."""
        return Context(self.domain.chain_id, self.domain.contract, job, round_, attempt)

    def blob(self, digest: bytes) -> BlobRef:
        """A blob that is held. Raises BlobLost where it is not: a machine relied on it."""
        size = self.blobs.size(digest)
        if size is None:
            raise BlobLost(digest, str(self.home.blobs))
        return BlobRef(digest, size)

    async def spec_bytes(self, context: JobContext) -> bytes:
        """The job's spec as it travels."""
        stored = await self.store.read(lambda tx: records.load_spec(tx, context.spec_digest))
        if stored is None:
            raise FatalError(f"the spec of job {context.job.hex()} is gone from the store")
        return stored
