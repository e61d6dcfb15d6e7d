"""An offer's encoder is fetched once its buyer names the digest, and never before."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from kits import encoders
from kits.books import Person, make_spec
from kits.chain.devnet import SIGNERS
from kits.chain.sale_sides import Life, made_offer

from node.home.home import Home
from node.net.errors import FetchFailed
from node.perform.encoders import fetching, keeping
from node.sale.buy.encoders import OfferedEncoders
from node.sale.market import OnSale
from node.store.blobs import BlobRef, Blobs
from protocol.errors import InputError, PeerError, StateError
from protocol.spec.encoder import EncoderKind
from protocol.spec.job import encode_spec
from protocol.wire.identity import peer_id_text

SELLER, OTHER = Person(1), Person(2)
OFFER = OnSale(SELLER.peer, made_offer(Life(None, b"\x01" * 20, b"\x02" * 20), SIGNERS[3]))


class Node:
    """A buyer's node; `asked` is who was asked for the package, each time."""

    def __init__(self, folder: Path, network: bytes | None = None) -> None:
        self.package, self.encoder = encoders.write(folder, EncoderKind.NUMBERS, network)
        self.spec = encode_spec(encoders.spec_of(self.encoder))
        self.asked: list[list[str]] = []
        self.broken = 0
        home = Home(folder / "home")
        home.create()
        swarm = SimpleNamespace(
            fetch=self._fetch,
            connected=lambda: [peer_id_text(OTHER.peer), peer_id_text(SELLER.peer)],
        )
        self.services: Any = SimpleNamespace(
            home=home,
            blobs=Blobs(home.blobs),
            swarm=swarm,
            compute=SimpleNamespace(run_aside=self._run),
        )
        market: Any = SimpleNamespace(spec=self._spec)
        self.offered = OfferedEncoders(self.services, market)

    @property
    def held(self) -> bool:
        ref = BlobRef(self.encoder.digest, self.encoder.package_bytes)
        return bool(self.services.blobs.holds(ref))

    async def _spec(self, _: OnSale) -> bytes:
        await trio.lowlevel.checkpoint()
        return self.spec

    async def _run(self, function: Any, *args: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return function(*args)

    async def _fetch(self, digest: bytes, size: int, peers: list[str], sink: Any) -> None:
        await trio.lowlevel.checkpoint()
        self.asked.append(peers)
        content = self.package.read_bytes()
        if len(self.asked) <= self.broken:
            sink.write(0, content[: len(self.asked)])
            raise FetchFailed(digest, {peers[0]: "the line broke"})
        sink.write(0, content)
        sink.finish()


async def test_nothing_is_asked_for_before_the_digest_is_named(tmp_path: Path) -> None:
    node = Node(tmp_path)
    named = node.encoder.digest.hex()
    with pytest.raises(InputError, match=named) as told:
        await node.offered.fetch(OFFER, None)
    assert "of numbers of" in str(told.value)
    offer = f"0x{OFFER.offer.digest.hex()[:16]}"
    assert told.value.__notes__ == [f"assay encoder fetch {offer} --digest DIGEST"]
    for wrong in ("00" * 32, named[:-1], named[:16], ""):
        with pytest.raises(InputError, match=f"encoder is {named}, and not"):
            await node.offered.fetch(OFFER, wrong)
    assert not node.asked


@pytest.mark.parametrize("form", [str.lower, str.upper, "0x{}".format])
async def test_it_is_fetched_from_the_seller_first_and_noted(tmp_path: Path, form: Any) -> None:
    node = Node(tmp_path)
    named = form(node.encoder.digest.hex())
    kept, new = await node.offered.fetch(OFFER, named)
    assert (kept.digest, kept.name, new) == (node.encoder.digest.hex(), "small numbers", True)
    assert kept.source == f"offer 0x{OFFER.offer.digest.hex()[:16]}"
    assert node.asked == [[peer_id_text(SELLER.peer)]]
    assert await node.offered.fetch(OFFER, named) == (kept, False)
    assert len(node.asked) == 1


async def test_a_line_that_breaks_is_asked_again_while_bytes_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_PAUSE", 0.0)
    node = Node(tmp_path)
    node.broken = 20
    _, new = await node.offered.fetch(OFFER, node.encoder.digest.hex())
    assert new
    assert len(node.asked) == 21
    # Whoever else is connected is asked once the seller gave nothing.
    both = [peer_id_text(SELLER.peer), peer_id_text(OTHER.peer)]
    assert node.asked[:2] == [both[:1], both]


async def test_who_waits_is_told_after_a_while_that_nothing_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_PAUSE", 0.0)
    node = Node(tmp_path)

    async def none(digest: bytes, size: int, peers: list[str], sink: Any) -> None:
        node.asked.append(peers)
        raise FetchFailed(digest, {peers[0]: "it is not held here"})

    monkeypatch.setattr(node.services.swarm, "fetch", none)
    with pytest.raises(PeerError, match=r"could not be fetched: blob .* not held here"):
        await node.offered.fetch(OFFER, node.encoder.digest.hex())
    assert len(node.asked) == 4
    assert keeping.all_of(node.services.home) == ()


async def test_what_comes_and_cannot_run_goes_again(tmp_path: Path) -> None:
    node = Node(tmp_path, b"no network")
    with pytest.raises(InputError, match="the encoder cannot be used"):
        await node.offered.fetch(OFFER, node.encoder.digest.hex())
    assert not node.held
    assert keeping.all_of(node.services.home) == ()


async def test_a_model_without_an_encoder_has_nothing_to_fetch(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.spec = encode_spec(make_spec())
    with pytest.raises(StateError, match="has no encoder"):
        await node.offered.fetch(OFFER, None)
