"""A finished job's model put on sale, and taken off again.

The offer says what a buyer needs to ask; the model stays here, sealed in the store.
"""

from __future__ import annotations

from dataclasses import dataclass

import trio

from node.engine.engine import Machine
from node.engine.services import Services
from node.perform.compute import key_name
from node.sale.market import Market
from node.sale.naming import only
from node.sale.sealing import Sealer
from node.sale.talk import Talk
from node.store.blobs import BlobRef
from node.store.sale import on_sale
from node.store.sale.on_sale import OfferRow
from node.work import tasks
from node.work.sale import models
from node.workers.compute import in_worker
from protocol import params
from protocol.addresses import to_checksum
from protocol.errors import InputError, Malformed, StateError
from protocol.layout.queries import Mode
from protocol.machines.job import JobPhase
from protocol.requester.state import RequesterState
from protocol.sale import limits
from protocol.sale.offers import Offer
from protocol.sale.vouchers import MAX_DEPOSIT
from protocol.wire.codec import encode

_FINISHED = (JobPhase.PAYING, JobPhase.CLOSED, JobPhase.FINISHING)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a seller asks for, checked. Amounts in the token's smallest unit; `days` from now.

    Raises InputError, by the name that the seller gave.
    """

    price: int
    token: bytes
    mode: Mode
    batch: int
    minute: int
    days: int
    accuracy: float | None

    def __post_init__(self) -> None:
        for name, least, most in (
            ("price", 1, MAX_DEPOSIT),
            ("batch", 1, params.MAX_OFFER_BATCH),
            ("minute", 1, params.MAX_OFFER_MINUTE),
            ("days", 1, limits.MAX_OFFER_SECONDS // 86_400 - 1),
        ):
            if not least <= (given := getattr(self, name)) <= most:
                raise InputError(f"is {given}; {least} to {most} is allowed", name)
        if self.accuracy is not None and not 0 <= self.accuracy <= 1:
            raise InputError(
                f"is {self.accuracy:g}; 0 to 1 is allowed, 0.9 for 90 of 100", "accuracy"
            )


class Offering:
    """This node's own offers."""

    def __init__(self, services: Services, market: Market, talk: Talk, sealer: Sealer) -> None:
        self._services = services
        self._market = market
        self._talk = talk
        self._sealer = sealer

    async def offer(self, machine: Machine, terms: Terms, dry_run: bool) -> Offer:
        """Put a job's model on sale; only say what the offer would be if `dry_run`.

        Raises StateError (the job is not finished, or not this home's), InputError (a model that
        cannot be sold, terms that are not allowed).
        """
        context, state = machine.context, machine.state
        spec = context.spec
        if not isinstance(state, RequesterState):
            requester = to_checksum(spec.requester.account)
            raise StateError(f"the job is {requester}'s: only its requester sells its model")
        size = self._services.blobs.size(state.model_digest) if state.model_digest else None
        if state.phase not in _FINISHED or size is None:
            raise StateError(f"the job is {state.phase.value}: a finished job's model is sold")
        domain = self._talk.domain
        key = b""
        if spec.privacy.sealed:
            key = await trio.to_thread.run_sync(self._services.keys.unseal, key_name(spec.modulus))
        work = tasks.Work(self._services.home.blobs, await self._services.spec_bytes(context))
        bits = spec.encryption.key_bits
        sold = await in_worker(
            self._services.compute,
            models.for_sale,
            work,
            key,
            BlobRef(state.model_digest, size),
            terms.mode,
            bits,
        )
        layout = sold.layout
        try:
            offer = Offer(
                job=machine.key,
                spec_digest=context.spec_digest,
                chain_id=domain.chain_id,
                contract=domain.contract,
                account=self._services.keys.account,
                token=terms.token,
                price=terms.price,
                mode=terms.mode,
                features=layout.features,
                classes=layout.classes,
                feature_bits=layout.feature_bits,
                sum_bits=layout.sum_bits,
                key_bits=layout.key_bits,
                unit=sold.unit,
                accuracy=() if terms.accuracy is None else (terms.accuracy,),
                batch=terms.batch,
                minute=terms.minute,
                until=self._services.clock.ms() + 86_400_000 * terms.days,
            )
        except Malformed as error:
            raise InputError(str(error), "offer") from error
        if not dry_run:
            name = f"model.{offer.digest.hex()}"
            sealed = self._sealer.seal(name, sold.model)
            row = OfferRow(offer.digest, encode(offer), context.spec_digest, sealed, 0)
            await self._market.publish(row)
        return offer

    async def withdraw(self, given: str) -> bytes:
        """Take an offer of this node off sale: its id. Raises InputError."""
        rows = await self._services.store.read(on_sale.offers)
        standing = ((row.offer, row.offer) for row in rows if not row.withdrawn)
        offer = only(given, standing, "offer", "of this home", "assay offers")
        await self._market.withdraw(offer)
        return offer
