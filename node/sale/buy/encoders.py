"""The encoder of an offer's model, fetched from its seller once its buyer names its digest.

A seller's word names the network that runs on a buyer's rows. So the digest is given by hand, as
the network's publisher says it, and nothing is asked of anybody before that.
"""

from __future__ import annotations

import trio

from node.engine.services import Services
from node.perform.encoders import fetching, keeping
from node.perform.encoders.keeping import Kept
from node.sale.market import Market, OnSale
from protocol.errors import InputError, StateError
from protocol.spec.encoder import Encoder
from protocol.spec.job import decode_spec


class OfferedEncoders:
    """Encoders of offers that this node knows."""

    def __init__(self, services: Services, market: Market) -> None:
        self._services = services
        self._market = market
        self._one = trio.CapacityLimiter(1)

    async def fetch(self, on: OnSale, digest: str | None) -> tuple[Kept, bool]:
        """Have an offer's encoder here, fetched, read and noted; and whether it was not before.

        Raises StateError (it has none), InputError (`digest` is not the one that the offer's spec
        names: the words say which that is; or what came cannot run), PeerError (nobody gives it).
        """
        spec = await self._market.spec(on)
        encoder = (await trio.to_thread.run_sync(decode_spec, spec)).encoder
        offer = f"0x{on.offer.digest.hex()[:16]}"
        if encoder is None:
            raise StateError("the offer's model has no encoder: there is nothing to fetch")
        self._accepted(encoder, digest, offer)
        async with self._one:
            home = self._services.home
            here = keeping.known(home, encoder.digest)
            await fetching.fetched(self._services, encoder, on.peer, f"offer {offer}")
            kept = await trio.to_thread.run_sync(keeping.one_of, home, encoder.digest.hex())
        return kept, not here

    def _accepted(self, encoder: Encoder, digest: str | None, offer: str) -> None:
        """Raises InputError unless a person named this very digest."""
        named = encoder.digest.hex()
        if digest is not None and digest.lower().removeprefix("0x") == named:
            return
        if digest is not None:
            raise InputError(f"the offer's encoder is {named}, and not {digest[:66]}", "digest")
        error = InputError(
            f"the offer's model reads your rows through {named}, an encoder of {encoder.kind} of "
            f"{encoder.package_bytes} bytes, which somebody else made. Nothing is fetched before "
            "you name it: compare the digest with what its publisher says",
            "digest",
        )
        error.add_note(f"assay encoder fetch {offer} --digest DIGEST")
        raise error
