"""Sales as people see them: the calls of node.control.sale.api.SaleApi."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from node.control.sale import results as r
from node.data.reading import declared
from node.engine.engine import Machine
from node.engine.services import Services
from node.sale.buy.paying import Paying
from node.sale.buy.purchases import Purchase
from node.sale.market import OnSale
from node.sale.naming import only
from node.sale.provenance import provenance
from node.sale.sale import Sale
from node.sale.sell.offering import Terms
from node.sale.sell.serving import Served
from node.store.sale.channels import ChannelRow
from protocol.addresses import parse_address, to_checksum
from protocol.errors import InputError, StateError
from protocol.layout.queries import Mode
from protocol.sale.buyer import BuyerState
from protocol.sale.offers import warning
from protocol.sale.seller import SellerState
from protocol.spec.encoder import column_names
from protocol.spec.parts import ETHER, ClassTarget, Target
from protocol.tokens import currency
from protocol.wire import identity


class SaleCalls:
    """Calls of node.control.api.NodeApi that are about sales. `find` finds a job as people name
    it."""

    def __init__(self, services: Services, sale: Sale, find: Callable[[str], Machine]) -> None:
        self._of = services
        self._sale = sale
        self._sold_job = find

    # --- selling -----------------------------------------------------------------------------

    async def sale_offer(
        self,
        job: str,
        price: int,
        token: str | None,
        scores: bool,
        batch: int,
        minute: int,
        days: int,
        accuracy: float | None,
        dry_run: bool,
    ) -> r.Sold:
        terms = Terms(
            price,
            ETHER if token is None else parse_address(token),
            Mode.SCORES if scores else Mode.LABEL,
            batch,
            minute,
            days,
            accuracy,
        )
        offer = await self._sale.offering.offer(self._sold_job(job), terms, dry_run)
        return r.Sold(self._offer(OnSale(self._of.swarm.peer_id_bytes, offer)), not dry_run)

    async def sale_withdraw(self, offer: str) -> r.TakenOff:
        return r.TakenOff(await self._sale.offering.withdraw(offer))

    async def sale_redeem(self, channel: str | None) -> r.SaleChannels:
        await self._sale.ready()
        standing = self._sale.served.standing
        if channel is not None:
            served = ((key, key) for key in standing)
            wanted = [only(channel, served, "channel", "served here", "assay sales")]
        else:
            wanted = [key for key, each in standing.items() if each.granted > each.redeemed]
        if not wanted:
            raise StateError("there is nothing to redeem")
        done = await self._sale.redeeming.redeem_all(wanted)
        found = [await self._sale.served.find(key) for key in done]
        return self._channels([self._served(each) for each in found if each is not None])

    async def sale_reclaim(self, channel: str) -> r.SaleChannels:
        self._sale.require()
        await self._sale.ready()
        own = ((each.row.channel, each) for each in self._sale.paying.all())
        left = only(channel, own, "channel", "opened here", "assay purchases")
        await self._sale.leaving.leave(left)
        return self._channels([self._paying(left)])

    # --- what is on sale ---------------------------------------------------------------------

    async def sale_offers(self, ask: bool) -> r.SaleOffers:
        self._sale.require()
        if ask:
            await self._sale.market.look_around()
        return r.SaleOffers(tuple(map(self._offer, await self._sale.market.known())))

    async def sale_show(self, offer: str) -> r.SaleOfferDetail:
        on = await self._find_offer(offer)
        found = await provenance(self._of, self._sale.market, on)
        spec = found.spec
        shown = r.SaleOfferDetail(
            offer=self._offer(on),
            problem=found.problem,
            posted=found.posted,
            sold_by_requester=found.sold_by_requester,
            finished=found.finished,
            requester=to_checksum(found.requester) if found.requester else None,
            owners=found.owners,
            rounds=found.rounds,
            contributions=found.contributions,
            title=None,
            purpose=None,
            sealed=None,
            epsilon=None,
            delta=None,
            columns=(),
            answers=(),
            encoder=None,
        )
        if spec is None:
            return shown
        privacy = spec.privacy
        return replace(
            shown,
            title=spec.title,
            purpose=spec.purpose,
            sealed=privacy.sealed,
            epsilon=privacy.epsilon if privacy.noisy else None,
            delta=privacy.delta if privacy.noisy else None,
            columns=column_names(spec.features),
            answers=_answers(spec.target),
            encoder=spec.encoder.digest.hex() if spec.encoder else None,
        )

    async def _find_offer(self, given: str) -> OnSale:
        """An offer; connected peers are asked where it is not known here."""
        self._sale.require()
        try:
            return await self._sale.market.find(given)
        except InputError:
            await self._sale.market.look_around()
            return await self._sale.market.find(given)

    async def encoder_fetch(self, offer: str, digest: str | None) -> r.FetchedEncoder:
        kept, new = await self._sale.encoders.fetch(await self._find_offer(offer), digest)
        return r.FetchedEncoder(kept.digest, kept.bytes, kept.name, new)

    # --- buying ------------------------------------------------------------------------------

    async def sale_prepare(
        self,
        offer: str,
        path: str,
        separator: str | None,
        decimal: str | None,
        encoding: str | None,
        header: bool | None,
        names: tuple[str, ...],
        images: tuple[str, ...] = (),
    ) -> r.Prepared:
        reading = declared(separator, decimal, encoding, header, names, images)
        on = await self._find_offer(offer)
        bought = await self._sale.purchases.prepare(on, path, reading)
        rows = len(bought.open_rows)
        own = [c for c in self._sale.paying.all() if c.offer == on.offer and not c.state.ended]
        prepared = bought.prepared
        return r.Prepared(
            purchase=bought.ident,
            offer=self._offer(on),
            rows=len(bought.results),
            unused=prepared.unused,
            why=prepared.why,
            bought=sum(result is not None for result in bought.results),
            ask=rows,
            price=rows * on.offer.price,
            in_channels=sum(c.rest for c in own if not c.row.over),
            notes=prepared.notes,
        )

    async def sale_buy(self, purchase: str, budget: int) -> r.Buying:
        bought = self._sale.purchases.find(purchase)
        await self._sale.purchases.go_on(bought, budget)
        return _buying(bought)

    async def sale_write(self, purchase: str) -> r.BoughtFile:
        bought = self._sale.purchases.find(purchase)
        path, written = await self._sale.purchases.write(bought)
        return r.BoughtFile(str(path), len(bought.results), written.empty, written.columns)

    # --- channels ----------------------------------------------------------------------------

    async def sale_channels(self) -> r.SaleChannels:
        await self._sale.ready()
        found = [self._paying(each) for each in self._sale.paying.all()]
        for served in await self._sale.served.all():
            found.append(self._served(served))
        return self._channels(found)

    def _channels(self, found: list[r.SaleChannel]) -> r.SaleChannels:
        contract = self._sale.channels.contract
        return r.SaleChannels(None if contract is None else to_checksum(contract), tuple(found))

    def _paying(self, each: Paying) -> r.SaleChannel:
        state, over = each.stored, each.row.over
        stopped = "" if over else state.ended
        return self._channel(each.row, "buyer", state, state.owed, 0, bool(over), stopped)

    def _served(self, each: Served) -> r.SaleChannel:
        state = each.stored
        granted, redeemed = state.voucher.amount, state.redeemed
        return self._channel(each.row, "seller", state, granted, redeemed, state.closed, "")

    def _channel(
        self,
        row: ChannelRow,
        side: Literal["buyer", "seller"],
        state: BuyerState | SellerState,
        granted: int,
        redeemed: int,
        closed: bool,
        problem: str,
    ) -> r.SaleChannel:
        stands: Literal["open", "stopped", "expired"] = "stopped" if problem else "open"
        if self._of.clock.ms() > 1000 * state.terms.expiry:
            stands = "expired"
        return r.SaleChannel(
            channel=row.channel,
            side=side,
            offer=row.offer,
            peer=identity.peer_id_text(row.peer),
            token=currency(state.terms.token),
            price=state.price,
            deposit=state.deposit,
            granted=granted,
            redeemed=redeemed,
            left=state.deposit - granted,
            answers=state.answered,
            expiry=float(state.terms.expiry),
            state="closed" if closed else stands,
            problem=problem,
        )

    def _offer(self, on: OnSale) -> r.SaleOffer:
        offer = on.offer
        return r.SaleOffer(
            offer=offer.digest,
            peer=identity.peer_id_text(on.peer),
            mine=on.peer == self._of.swarm.peer_id_bytes,
            job=offer.job,
            account=to_checksum(offer.account),
            mode="label" if offer.mode is Mode.LABEL else "scores",
            price=offer.price,
            token=currency(offer.token),
            features=offer.features,
            classes=offer.classes,
            key_bits=offer.key_bits,
            batch=offer.batch,
            minute=offer.minute,
            accuracy=offer.accuracy[0] if offer.accuracy else None,
            until=offer.until / 1000,
            copy_answers=offer.layout.answers_to_copy,
            copy_price=offer.copy_price,
            warning=warning(offer),
        )


def _answers(target: Target) -> tuple[str, ...]:
    """What an answer may be, in the words of the job."""
    if isinstance(target, ClassTarget):
        return target.classes
    return (f"{target.low:g} to {target.high:g}",)


def _buying(bought: Purchase) -> r.Buying:
    return r.Buying(
        bought.ident,
        bought.running,
        bought.doing,
        bought.asked,
        len(bought.open_rows),
        bought.spent,
    )
