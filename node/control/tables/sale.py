"""The control methods about sales: rows of the table in node/control/methods.py."""

from __future__ import annotations

from typing import Any, Final

from node.control import examples as ex
from node.control import params as p
from node.control.codes import Code
from node.control.rpc import Method, calls
from node.control.sale import examples as sx
from node.control.sale import params as sp
from node.control.sale import results as sr
from node.control.sale.api import SaleApi

SALE: Final[tuple[Method[Any, Any], ...]] = (
    Method(
        "sale.offer",
        "Put a finished job's model on sale: predictions for money, by the row.",
        sp.SellParams,
        sr.Sold,
        calls(SaleApi.sale_offer),
        (Code.INPUT, Code.STATE),
        (sp.SellParams(ex.JOB, 10**13, accuracy=0.94), sr.Sold(sx.OFFER, True)),
    ),
    Method(
        "sale.withdraw",
        "Take an offer off sale. Channels that were opened for it are served on.",
        sp.OfferParams,
        sr.TakenOff,
        calls(SaleApi.sale_withdraw),
        (Code.INPUT,),
        (sp.OfferParams("0x9b31c07a"), sr.TakenOff(sx.OFFER.offer)),
    ),
    Method(
        "sale.offers",
        "Models on sale that are known here.",
        sp.SaleOffersParams,
        sr.SaleOffers,
        calls(SaleApi.sale_offers),
        (Code.INPUT,),
        (sp.SaleOffersParams(), sr.SaleOffers((sx.OFFER,))),
        large=True,
    ),
    Method(
        "sale.show",
        "An offer, and where its model comes from.",
        sp.OfferParams,
        sr.SaleOfferDetail,
        calls(SaleApi.sale_show),
        (Code.INPUT,),
        (sp.OfferParams("0x9b31c07a"), sx.DETAIL),
    ),
    Method(
        "sale.prepare",
        "Read a file that predictions are to be bought for; what they would cost.",
        sp.PrepareParams,
        sr.Prepared,
        calls(SaleApi.sale_prepare),
        (Code.INPUT, Code.PEER),
        (sp.PrepareParams("0x9b31c07a", "/srv/rows.csv"), sx.PREPARED),
    ),
    Method(
        "sale.buy",
        "Ask for a file's rows, as far as a budget goes; returns after a moment: call again.",
        sp.BuyParams,
        sr.Buying,
        calls(SaleApi.sale_buy),
        (Code.INPUT, Code.PEER, Code.CHAIN),
        (sp.BuyParams(sx.PURCHASE, 10**15), sx.BUYING),
    ),
    Method(
        "sale.write",
        "Write what was bought for a file as CSV.",
        sp.PurchaseParams,
        sr.BoughtFile,
        calls(SaleApi.sale_write),
        (Code.INPUT,),
        (sp.PurchaseParams(sx.PURCHASE), sx.FILE),
    ),
    Method(
        "sale.channels",
        "Payment channels of this home, as buyer and as seller.",
        p.Nothing,
        sr.SaleChannels,
        calls(SaleApi.sale_channels),
        (),
        (p.Nothing(), sx.CHANNELS),
        large=True,
    ),
    Method(
        "sale.redeem",
        "Redeem what buyers granted, on the chain; returns once it is final.",
        sp.RedeemParams,
        sr.SaleChannels,
        calls(SaleApi.sale_redeem),
        (Code.INPUT, Code.STATE, Code.CHAIN),
        (sp.RedeemParams("0x51cc20d4"), sx.CHANNELS),
    ),
    Method(
        "encoder.fetch",
        "Fetch the encoder of an offer's model from its seller, by the digest that you name.",
        sp.EncoderFetchParams,
        sr.FetchedEncoder,
        calls(SaleApi.encoder_fetch),
        (Code.INPUT, Code.STATE, Code.PEER),
        (sp.EncoderFetchParams("0x9b31c07a", "6e1d0c5b" * 8), sx.FETCHED),
    ),
    Method(
        "sale.reclaim",
        "Take back what is left of a channel before its expiry, with its seller's release.",
        sp.ReclaimParams,
        sr.SaleChannels,
        calls(SaleApi.sale_reclaim),
        (Code.INPUT, Code.STATE, Code.PEER, Code.CHAIN),
        (sp.ReclaimParams("0x51cc20d4"), sx.RECLAIMED),
    ),
)
