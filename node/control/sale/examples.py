"""Examples of the methods about sales: the ward's model of node.control.examples, on sale."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from node.control import examples as ex
from node.control.sale import results as r

OFFER: Final = r.SaleOffer(
    offer=bytes.fromhex("9b31c07a" * 8),
    peer="12D3KooWQ8qMPfiYteYLJop34UttTVh2oSXtddBisMYYBuZnV2rc",
    mine=False,
    job=bytes.fromhex(ex.JOB.removeprefix("0x")),
    account=ex.REQUESTER,
    mode="label",
    price=10**13,
    token=None,
    features=65,
    classes=2,
    key_bits=3072,
    batch=1000,
    minute=60,
    accuracy=0.94,
    until=1_786_000_000.0,
    copy_answers=1056,
    copy_price=1056 * 10**13,
    warning=(
        "labels tell of the model's borders: 1056 answers carry as many bits as its weights, and "
        "fewer make a useful copy"
    ),
)
DETAIL: Final = r.SaleOfferDetail(
    offer=OFFER,
    problem="",
    posted=True,
    sold_by_requester=True,
    finished=True,
    requester=ex.REQUESTER,
    owners=3,
    rounds=10,
    contributions=30,
    title="Readmission within 30 days",
    purpose="research",
    sealed=True,
    epsilon=4.0,
    delta=1e-5,
    columns=("age", "smoker"),
    answers=("no", "yes"),
    encoder=None,
)
PURCHASE: Final = "0123456789abcdef"
FETCHED: Final = r.FetchedEncoder("6e1d0c5b" * 8, 90_868_123, "all-MiniLM-L6-v2", True)
PREPARED: Final = r.Prepared(
    purchase=PURCHASE,
    offer=OFFER,
    rows=20,
    unused=1,
    why="rows.csv, line 7: age is empty",
    bought=0,
    ask=19,
    price=19 * 10**13,
    in_channels=0,
    notes=(),
)
BUYING: Final = r.Buying(PURCHASE, False, "", 19, 0, 19 * 10**13)
FILE: Final = r.BoughtFile(
    "/home/assay/purchases/0123456789abcdef.csv", 20, 1, ("line", "prediction")
)
CHANNEL: Final = r.SaleChannel(
    channel=bytes.fromhex("51cc20d4" * 8),
    side="seller",
    offer=OFFER.offer,
    peer=OFFER.peer,
    token=None,
    price=10**13,
    deposit=19 * 10**13,
    granted=19 * 10**13,
    redeemed=0,
    left=0,
    answers=19,
    expiry=1_786_000_000.0,
    state="open",
    problem="",
)
CHANNELS: Final = r.SaleChannels(ex.CONTRACT, (CHANNEL,))
LEFT: Final = replace(
    CHANNEL,
    side="buyer",
    deposit=30 * 10**13,
    left=11 * 10**13,
    state="closed",
)
RECLAIMED: Final = r.SaleChannels(ex.CONTRACT, (LEFT,))
