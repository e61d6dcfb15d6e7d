"""Hostile bytes on the stream of a sale, from the socket on: refused, counted, and nothing ends."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trio
from kits.attacks.hostile import Hostile, hostile, offences
from kits.daemons.processes import CHAIN_ID, Daemon, Swarm, until
from kits.offers import offer_with

from node.net.errors import ConversationError, Refused
from node.net.peering.whois import parse_peer
from node.sale.talk import PROTOCOL
from protocol.books.typed_data import Domain
from protocol.sale.catalogues import Catalogue
from protocol.sale.messages import Asked, Blob, Chosen, Leave, Paid, Receipt, Released
from protocol.sale.offers import Offer
from protocol.sale.stream import (
    MAX_SALE_FRAME_BYTES,
    AskOffers,
    AskSpec,
    Later,
    Meet,
    SaleFrame,
    ToldOffers,
    Word,
    blob_of,
    meeting_digest,
    read_word,
    sign_word,
)
from protocol.sale.vouchers import NO_VOUCHER, Terms, Voucher
from protocol.wire.codec import decode, encode

pytestmark = pytest.mark.waits(60)

FAR = 4_000_000_000


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    swarm = Swarm(tmp_path_factory.mktemp("sale-hostile"), owners=1)
    swarm.sells = True
    try:
        trio.run(swarm.start)
        yield swarm
    finally:
        swarm.destroy()


@pytest.fixture
async def peer(swarm: Swarm, tmp_path: Path) -> AsyncIterator[Hostile]:
    async with hostile(tmp_path / "hostile", swarm.contract, swarm.peer, swarm.address) as found:
        yield found


def domain(swarm: Swarm) -> Domain:
    assert swarm.channels is not None
    return Domain(CHAIN_ID, swarm.channels)


async def tell(swarm: Swarm, peer: Hostile, word: Word, part: bytes = b"") -> Word:
    """A word, truthfully signed, and what is said to it."""
    signed = sign_word(domain(swarm), peer.swarm.peer_id_bytes, word, peer.keys.sign_peer)
    return await send(swarm, peer, encode(SaleFrame(signed, part)))


async def send(swarm: Swarm, peer: Hostile, frame: bytes) -> Word:
    reply = await peer.swarm.request(swarm.peer, PROTOCOL, frame, 15, MAX_SALE_FRAME_BYTES + 9)
    return read_word(domain(swarm), decode(SaleFrame, reply, MAX_SALE_FRAME_BYTES).word).word


def terms(peer: Hostile, swarm: Swarm) -> Terms:
    return Terms(peer.keys.account, swarm.account, bytes(20), FAR, secrets.token_bytes(32))


def made_offer(swarm: Swarm, **changes: object) -> Offer:
    assert swarm.channels is not None
    said = {"chain_id": CHAIN_ID, "contract": swarm.channels, "account": swarm.account}
    return offer_with(**(said | changes))


async def test_garbage_is_refused_and_counted(swarm: Swarm, peer: Hostile) -> None:
    me = peer.swarm.peer_id
    before = offences(swarm.requester, me)
    for frame in (b"", b"\x00", secrets.token_bytes(4096), encode(SaleFrame(b"x", b"y"))):
        with pytest.raises(Refused):
            await send(swarm, peer, frame)
    with pytest.raises(ConversationError):
        await send(swarm, peer, bytes(MAX_SALE_FRAME_BYTES + 1))
    assert offences(swarm.requester, me) >= before + 4
    assert swarm.requester.call("status")["pid"] == swarm.requester.pid


async def test_words_of_others_and_of_other_contracts_are_refused(
    swarm: Swarm, peer: Hostile
) -> None:
    word = AskOffers(0)
    elsewhere = Domain(CHAIN_ID, b"\x09" * 20)
    wrong = sign_word(elsewhere, peer.swarm.peer_id_bytes, word, peer.keys.sign_peer)
    with pytest.raises(Refused, match="here it is chain"):
        await send(swarm, peer, encode(SaleFrame(wrong, b"")))
    stolen = swarm.owners[0].peer_id
    forged = sign_word(domain(swarm), stolen, word, peer.keys.sign_peer)
    with pytest.raises(Refused, match="not its sender's"):
        await send(swarm, peer, encode(SaleFrame(forged, b"")))


async def test_who_met_no_channel_is_served_nothing(swarm: Swarm, peer: Hostile) -> None:
    channel, blob = secrets.token_bytes(32), blob_of(b"query")
    for word, part in (
        (Asked(channel, 0, blob, NO_VOUCHER), b"query"),
        (Chosen(channel, 0, blob), b"query"),
        (Paid(channel, Voucher(1, bytes(65))), b""),
        (Leave(channel, NO_VOUCHER), b""),
    ):
        with pytest.raises(Refused, match="meet first"):
            await tell(swarm, peer, word, part)
    for said in (Released(channel, 0, bytes(65)), Receipt(channel, NO_VOUCHER)):
        with pytest.raises(Refused, match="is no question"):
            await tell(swarm, peer, said)
    with pytest.raises(Refused, match="not what its word names"):
        await tell(swarm, peer, Asked(channel, 0, Blob(bytes(32), 5), NO_VOUCHER), b"query")
    with pytest.raises(Refused, match="no offer here"):
        await tell(swarm, peer, AskSpec(bytes(32)))


async def test_a_meeting_is_its_buyers_own(swarm: Swarm, peer: Hostile) -> None:
    """A channel of somebody else's, read off the chain, is met by its buyer's signature alone; and
    for an offer that there is."""
    key = blob_of(b"a key")
    stolen = Terms(b"\x07" * 20, swarm.account, bytes(20), FAR, bytes(32))
    own = terms(peer, swarm)
    for each, wanted in ((stolen, "not signed by the channel's buyer"), (own, "no such offer")):
        me = peer.swarm.peer_id_bytes
        digest = meeting_digest(domain(swarm), each.channel, bytes(32), key.digest, me)
        meet = Meet(bytes(32), each, key, peer.keys.sign_digest(digest))
        with pytest.raises(Refused, match=wanted):
            await tell(swarm, peer, meet, b"a key")


async def test_catalogues_are_bounded_by_time_and_place(swarm: Swarm, peer: Hostile) -> None:
    now = int(swarm.requester.call("status")["chain"]["head_time"]) * 1000
    good = made_offer(swarm, until=now + 3_600_000, account=peer.keys.account)
    lasting = made_offer(swarm, until=now + 500 * 86_400_000)
    elsewhere = made_offer(swarm, until=now + 3_600_000, contract=b"\x09" * 20)

    def listed(daemon: Daemon, ask: bool = False) -> list[str]:
        """What it knows of this peer, which answers nothing itself: to ask it takes its time."""
        offers = daemon.call("sale.offers", ask=ask)["offers"]
        return [each["offer"] for each in offers if each["peer"] == peer.swarm.peer_id]

    for word in (
        Catalogue(1, lasting.until, (lasting,)),
        Catalogue(1, elsewhere.until, (elsewhere,)),
    ):
        assert await tell(swarm, peer, word) == Later(0, True)
        assert listed(swarm.requester) == []
    assert await tell(swarm, peer, Catalogue(5, good.until, (good,))) == Later(0, True)
    assert listed(swarm.requester) == ["0x" + good.digest.hex()]
    # An older word changes nothing; a newer one withdraws.
    await tell(swarm, peer, Catalogue(4, good.until, ()))
    assert listed(swarm.requester) == ["0x" + good.digest.hex()]
    # It is told on to who asks, and read there by its own signature.
    other = swarm.owners[0]
    wanted = ["0x" + good.digest.hex()]
    await until(lambda: listed(other, ask=True) == wanted, 30, "the owner knows it")
    assert isinstance(await tell(swarm, peer, AskOffers(0)), ToldOffers)
    await tell(swarm, peer, Catalogue(6, good.until, ()))
    assert listed(swarm.requester) == []
    shown = other.call("sale.show", offer="0x" + good.digest.hex()) if listed(other) else None
    assert shown is None or not shown["posted"]


async def test_streams_beyond_the_room_are_reset(swarm: Swarm, peer: Hostile) -> None:
    """A peer that opens streams and says nothing holds few of them, and nobody else waits."""
    held = []
    try:
        for _ in range(12):
            try:
                stream = await peer.swarm._parts.open_stream(parse_peer(swarm.peer), PROTOCOL)
                await stream.write((1000).to_bytes(4, "big"))
                held.append(stream)
            except Exception:  # noqa: BLE001 - the library's own, of whatever kind
                break
        with pytest.raises(ConversationError):
            await tell(swarm, peer, AskOffers(0))
    finally:
        for stream in held:
            await stream.reset()
    offers = await trio.to_thread.run_sync(
        lambda: swarm.owners[0].call("sale.offers", ask=True)["offers"]
    )
    assert isinstance(offers, list)
