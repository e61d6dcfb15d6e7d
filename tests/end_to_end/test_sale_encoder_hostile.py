"""A seller whose offer names an encoder, and gives a buyer's daemon something else for it.

The seller is a hostile peer over a real socket, and the buyer a real daemon whose commands are
typed.
"""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Iterator
from hashlib import sha256
from pathlib import Path

import pytest
import trio
from kits import encoders as small
from kits.attacks.hostile import Hostile, hostile, offences
from kits.daemons.processes import CHAIN_ID, Daemon, Swarm, run
from kits.net.swarms import Shelf
from kits.offers import offer_with

from node.net import fetch as fetch_room
from node.sale.talk import PROTOCOL
from node.store.blobs import Blobs
from protocol.books.typed_data import Domain
from protocol.sale.catalogues import Catalogue
from protocol.sale.stream import (
    MAX_SALE_FRAME_BYTES,
    AskOffers,
    AskSpec,
    Later,
    Page,
    SaleFrame,
    ToldOffers,
    ToldSpec,
    read_word,
    sign_word,
)
from protocol.spec.encoder import Encoder, EncoderKind
from protocol.spec.job import encode_spec
from protocol.wire.codec import decode, encode

pytestmark = [pytest.mark.ci, pytest.mark.waits(60)]


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    swarm = Swarm(tmp_path_factory.mktemp("encoder-hostile"), owners=0)
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


class Seller:
    """A hostile peer with one offer, whose job has an encoder; `spec` is what it tells of it."""

    def __init__(self, swarm: Swarm, peer: Hostile, encoder: Encoder, minute: int) -> None:
        assert swarm.channels is not None
        self._peer = peer
        self._domain = Domain(CHAIN_ID, swarm.channels)
        self.spec = encode_spec(small.spec_of(encoder))
        now = int(swarm.requester.call("status")["chain"]["head_time"]) * 1000
        self.offer = offer_with(
            spec_digest=sha256(self.spec).digest(),
            chain_id=CHAIN_ID,
            contract=swarm.channels,
            account=peer.keys.account,
            minute=minute,
            until=now + 3_600_000,
        )
        peer.swarm.serve(PROTOCOL, self._answer, MAX_SALE_FRAME_BYTES)

    @property
    def name(self) -> str:
        return f"0x{self.offer.digest.hex()[:16]}"

    async def _answer(self, peer: str, data: bytes) -> bytes:
        word = read_word(self._domain, decode(SaleFrame, data, MAX_SALE_FRAME_BYTES).word).word
        if isinstance(word, AskOffers):
            said = Catalogue(self.offer.minute, self.offer.until, (self.offer,))
            page = encode(Page((self._signed(said),)))
            return encode(SaleFrame(self._signed(ToldOffers(self.offer.minute)), page))
        if isinstance(word, AskSpec):
            return encode(SaleFrame(self._signed(ToldSpec(word.spec)), self.spec))
        return encode(SaleFrame(self._signed(Later(0, False)), b""))

    def _signed(self, word: ToldOffers | ToldSpec | Catalogue | Later) -> bytes:
        me = self._peer.swarm.peer_id_bytes
        return sign_word(self._domain, me, word, self._peer.keys.sign_peer)


async def fetch(buyer: Daemon, *words: str) -> subprocess.CompletedProcess[str]:
    typed = ("--home", str(buyer.home.path), "encoder", "fetch", *words)
    return await trio.to_thread.run_sync(lambda: run(*typed))


def nothing_is_left(buyer: Daemon, digest: bytes) -> None:
    assert buyer.call("encoder.list") == []
    assert Blobs(buyer.home.blobs).size(digest) is None


async def test_a_package_that_lies_is_refused_and_counted(
    swarm: Swarm, peer: Hostile, tmp_path: Path
) -> None:
    buyer, (package, encoder) = swarm.requester, small.write(tmp_path, EncoderKind.NUMBERS)
    seller = Seller(swarm, peer, encoder, 1)
    asked = 0

    async def lie(_: str, data: bytes) -> bytes:
        """Of the right length, and another."""
        nonlocal asked
        asked += 1
        content = package.read_bytes()
        return content[:-1] + bytes([content[-1] ^ 1])

    peer.swarm.serve(fetch_room.PROTOCOL, lie, fetch_room.MAX_REQUEST_BYTES)
    unnamed = await fetch(buyer, seller.name)
    assert unnamed.returncode == 2, unnamed
    assert encoder.digest.hex() in unnamed.stderr
    assert asked == 0
    before = offences(buyer, peer.swarm.peer_id)
    lied = await fetch(buyer, seller.name, "--digest", encoder.digest.hex())
    assert lied.returncode != 0, lied
    assert "could not be fetched" in lied.stderr
    assert asked
    assert offences(buyer, peer.swarm.peer_id) > before
    nothing_is_left(buyer, encoder.digest)


async def test_a_package_that_is_no_network_is_refused_and_goes(
    swarm: Swarm, peer: Hostile, tmp_path: Path
) -> None:
    buyer = swarm.requester
    package, encoder = small.write(tmp_path, EncoderKind.NUMBERS, b"no network")
    seller = Seller(swarm, peer, encoder, 2)
    peer.swarm.serve_blobs(Shelf(package.read_bytes()))
    told = await fetch(buyer, seller.name, "--digest", encoder.digest.hex())
    assert told.returncode == 2, told
    assert "the encoder cannot be used" in told.stderr
    nothing_is_left(buyer, encoder.digest)


async def test_a_spec_of_another_digest_names_no_encoder(
    swarm: Swarm, peer: Hostile, tmp_path: Path
) -> None:
    buyer, (_, encoder) = swarm.requester, small.write(tmp_path, EncoderKind.TEXT)
    seller = Seller(swarm, peer, encoder, 3)
    seller.spec += b"\0"
    told = await fetch(buyer, seller.name, "--digest", encoder.digest.hex())
    assert told.returncode != 0, told
    assert "does not tell the spec" in told.stderr
    nothing_is_left(buyer, encoder.digest)
