"""assay's side of a channel's bookkeeping: both machines and both stores, as two daemons keep them.

Every state is sealed and on disk before what follows from it is said; vouchers are signed and
checked as the contract would. What workers compute of a query is left out, and so are its bytes,
unless they are asked for.
"""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import trio

from node.engine.clock import Clock
from node.home.home import Home
from node.home.keys import Keys
from node.sale.buy.paying import Paying, PayingChannels
from node.sale.market import OnSale
from node.sale.sealing import Sealer
from node.sale.sell.serving import Served, ServedChannels
from node.sale.talk import Talk
from node.store.sale import channels as stored
from node.store.sale.channels import ChannelRow, PartRow
from node.store.store import Store, Transaction
from protocol.layout.queries import Mode
from protocol.sale import buyer, seller
from protocol.sale.effects import SendSale
from protocol.sale.inputs import ActionAsk, ComputeDone, ComputeRevealed, ReceiveSale
from protocol.sale.messages import Asked, Blob, Chosen, Declined, Paid, Part, Receipt, Replied
from protocol.sale.offers import Offer
from protocol.sale.vouchers import Terms
from protocol.wire.codec import encode

PACKAGES = ("coincurve", "cryptography")

#: Bytes of a query and of what answers it (docs/spec/queries.md: 384 features, 10 classes), and of
#: what stands for them.
_BYTES = {Part.QUERY: 294_957, Part.MASKED: 813, Part.CHOICES: 13_200, Part.ANSWER: 48_402}
_FEW = 64
_PRICE = 10**13
_ROOT = Path(__file__).resolve().parents[3]


class _Counted:
    """A store whose commits are counted."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.commits = 0

    async def run(self, function: Callable[[Transaction], Any]) -> Any:
        self.commits += 1
        return await self._store.run(function)

    async def read(self, function: Callable[[Transaction], Any]) -> Any:
        return await self._store.read(function)


def _parts(**parts: object) -> Any:
    """What stands for a running node's parts, of which none but these is used."""
    return SimpleNamespace(**parts)


class _Side:
    """One home's parts."""

    def __init__(self, folder: Path, store: Store, contract: bytes) -> None:
        home = Home(folder)
        home.create()
        self.keys = Keys.create(home, None)
        self.store = _Counted(store)
        self.channels = _parts(contract=contract, open=self._open)
        self.services = _parts(
            keys=self.keys,
            store=self.store,
            clock=Clock(),
            chain=SimpleNamespace(chain_id=1337),
        )
        self.sealer = Sealer(self.keys)
        self.talk = Talk(self.services, self.channels)

    async def _open(
        self, seller_: bytes, token: bytes, deposit: int, expiry: int, action_id: str
    ) -> Terms:
        """The chain's part, which is not measured here."""
        return Terms(self.keys.account, seller_, token, expiry, sha256(action_id.encode()).digest())


def keep(mode: str, queries: int, channels: int, whole: bool, each: bool) -> dict[str, object]:
    """Carry so many queries over each of so many channels between two homes, at once, from being
    asked to the receipt of the last one's voucher. `whole`: with as many bytes as queries have.
    `each`: every voucher is said alone, and received; otherwise as node/sale does, with the next
    query, and the last alone.

    Raises ValueError unless both sides' stores hold the voucher for all of them in the end.
    """
    # Beside the checkout: what is kept in memory, as /tmp is on some machines, is on no disk.
    with tempfile.TemporaryDirectory(dir=_ROOT, prefix=".bench-") as name:
        folder = Path(name)
        with Store.open(folder / "bought") as bought, Store.open(folder / "sold") as sold:
            contract = secrets.token_bytes(20)
            mine = _Side(folder / "buyer", bought, contract)
            theirs = _Side(folder / "seller", sold, contract)
            sizes = _BYTES if whole else dict.fromkeys(_BYTES, _FEW)
            return trio.run(_keep, mine, theirs, Mode(mode), queries, channels, sizes, each)


async def _keep(
    mine: _Side,
    theirs: _Side,
    mode: Mode,
    queries: int,
    channels: int,
    sizes: Mapping[Part, int],
    each: bool,
) -> dict[str, object]:
    offer = _offer(theirs, mode)
    buying = PayingChannels(mine.services, mine.channels, mine.sealer, mine.talk)
    selling = ServedChannels(theirs.services, theirs.sealer, theirs.talk)
    deposit, pairs = queries * _PRICE, []
    for _ in range(channels):
        paying = await buying.open(OnSale(bytes(38), offer), deposit, lambda _: None)
        channel, expiry = paying.state.terms.channel, paying.state.terms.expiry
        row = ChannelRow(
            "seller", channel, offer.digest, encode(offer), bytes(38), b"", b"", expiry
        )
        state = seller.opened(paying.state.terms, deposit, _PRICE, mode)
        pairs.append((paying, await selling.enter(row, offer, state)))
    before = mine.store.commits + theirs.store.commits

    async def carry(paying: Paying, served: Served) -> None:
        for number in range(queries):
            await _query(buying, paying, selling, served, number, sizes)
            if each or number == queries - 1:
                await _pay(buying, paying, selling, served)

    began = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for pair in pairs:
            nursery.start_soon(carry, *pair)
    seconds = time.perf_counter() - began
    await _held(theirs, deposit, channels, buying)
    commits = mine.store.commits + theirs.store.commits - before
    return {"seconds": seconds, "counts": {"commits": commits}}


async def _query(
    buying: PayingChannels,
    paying: Paying,
    selling: ServedChannels,
    served: Served,
    number: int,
    sizes: Mapping[Part, int],
) -> None:
    """One query, step by step as node/sale takes them, until its voucher is signed and stored."""

    def made(part: Part) -> PartRow:
        body = secrets.token_bytes(8) * (sizes[part] // 8)
        return PartRow(sha256(body).digest(), body)

    buying.take(paying, ActionAsk(secrets.token_bytes(32), secrets.token_bytes(32)))
    query = made(Part.QUERY)
    await buying.step(paying, ComputeDone(number, Part.QUERY, _blob(query)), (query,))
    said = _due(paying, Asked)
    heard = ReceiveSale(said, int(time.time()), secrets.token_bytes(32))
    await selling.take(served, heard, (query,))
    if paying.state.mode is Mode.LABEL:
        masked, choices = made(Part.MASKED), made(Part.CHOICES)
        await selling.step(served, ComputeDone(number, Part.MASKED, _blob(masked)), (masked,))
        buying.take(paying, ReceiveSale(_replied(served)), (masked,))
        await buying.step(paying, ComputeDone(number, Part.CHOICES, _blob(choices)), (choices,))
        await selling.take(served, ReceiveSale(_due(paying, Chosen)), (choices,))
    answer = made(Part.ANSWER)
    await selling.step(served, ComputeDone(number, Part.ANSWER, _blob(answer)), (answer,))
    buying.take(paying, ReceiveSale(_replied(served)), (answer,))
    buying.take(paying, ComputeRevealed(number, (number % 10,)), also=_answer(paying, number))
    await buying.sign(paying)


async def _pay(
    buying: PayingChannels, paying: Paying, selling: ServedChannels, served: Served
) -> None:
    """The voucher, said alone, and its receipt."""
    receipts = await selling.step(served, ReceiveSale(_due(paying, Paid)))
    (receipt,) = [each.message for each in receipts if isinstance(each.message, Receipt)]
    await buying.step(paying, ReceiveSale(receipt))


async def _held(theirs: _Side, amount: int, channels: int, buying: PayingChannels) -> None:
    """Read both stores again, as after a crash. Raises ValueError."""
    await buying.load()
    again = ServedChannels(theirs.services, theirs.sealer, theirs.talk)
    await again.load()
    held = [each.state.held for each in buying.all()]
    granted = [each.granted for each in again.standing.values()]
    if held != [amount] * channels or granted != held:
        raise ValueError("the stores do not hold the vouchers for all queries")


def _offer(theirs: _Side, mode: Mode) -> Offer:
    return Offer(
        job=bytes(32),
        spec_digest=bytes(32),
        chain_id=1337,
        contract=theirs.channels.contract,
        account=theirs.keys.account,
        token=bytes(20),
        price=_PRICE,
        mode=mode,
        features=384,
        classes=10,
        feature_bits=16,
        sum_bits=24,
        key_bits=3072,
        unit=0.0 if mode is Mode.LABEL else 1.0,
        accuracy=(),
        batch=1000,
        minute=60,
        until=2**40,
    )


def _blob(part: PartRow) -> Blob:
    return Blob(part.digest, len(part.body))


def _answer(paying: Paying, number: int) -> Callable[[Transaction], None]:
    """An answer is stored with what it is worth, in one step."""
    row = number.to_bytes(32, "big")
    return lambda tx: stored.save_answer(tx, paying.row.offer, row, (number % 10,))


def _due(paying: Paying, kind: type[Any]) -> Any:
    """What the buyer is to say."""
    said = [each.message for each in buyer.due(paying.state) if isinstance(each, SendSale)]
    (found,) = [each for each in said if isinstance(each, kind)]
    return found


def _replied(served: Served) -> Replied | Declined:
    (found,) = [each.message for each in seller.due(served.state) if isinstance(each, SendSale)]
    if not isinstance(found, Replied):
        raise ValueError(f"the seller says {type(found).__name__}")
    return found


CALLS: Mapping[str, Callable[..., dict[str, object]]] = {"keep": keep}
