"""Limits of sales, each with its reason; those of one query stand in protocol/params.py."""

from __future__ import annotations

from typing import Final

#: Offers of one seller: a signed catalogue of them stays below 8 KiB.
MAX_OFFERS_OF_SELLER: Final = 16
#: Sellers whose catalogues a node keeps: 8 MiB at most. What one page of them holds: 128 KiB.
MAX_CATALOGUES: Final = 1024
MAX_TOLD_CATALOGUES: Final = 16
#: Seconds that an offer may stand: a year, as long as a channel may.
MAX_OFFER_SECONDS: Final = 366 * 86_400

#: A seller holds a stream up for a computation for so long, and then says: later. Both sides read
#: with a deadline of params.PROGRESS_SECONDS.
SALE_HOLD_SECONDS: Final = 8.0
#: Computations for buyers that may wait in a seller's daemon; whoever comes then is told: later.
MAX_SALE_QUEUE: Final = 32
#: Of these, one buyer's, over all of its channels: others are served beside it.
MAX_SALE_QUEUE_OF_BUYER: Final = 8
#: Streams of the sale that are read at once, of all peers and of one: each may hold 4 MiB.
MAX_SALE_STREAMS: Final = 32
MAX_SALE_STREAMS_OF_PEER: Final = 4
#: Meetings that a peer may ask for, a minute: each is a question to the chain and a key's proof.
SALE_MEETINGS_A_MINUTE: Final = 12
#: Numbers of one file that predictions are bought for, rows times features: a quarter of a GiB.
MAX_PURCHASE_CELLS: Final = 32 * 1024 * 1024
#: Channels that a seller serves: each cost its buyer a transaction, and keeps a megabyte here.
MAX_SALE_CHANNELS: Final = 4096
#: What is granted is redeemed so long before the expiry: a transaction may wait for hours.
SALE_REDEEM_SECONDS: Final = 6 * 3600
#: Meetings that are looked into at once.
MAX_SALE_MEETINGS: Final = 4
