"""docs/guides/sell.md and buy.md, typed as they stand there: two people, real daemons, a chain."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from kits.daemons import sealed_clouds
from kits.daemons.jobs import ends
from kits.daemons.processes import Swarm, until
from kits.daemons.sales import predictions
from kits.guides import GUIDES, Reader

from node.home.home import Home
from node.home.keys import public_account

pytestmark = [pytest.mark.long, pytest.mark.waits(120)]

ROWS = 6


@pytest.fixture
async def swarm(tmp_path: Path) -> AsyncIterator[Swarm]:
    swarm = Swarm(tmp_path, 5)
    swarm.sells = True
    try:
        await swarm.start()
        yield swarm
    finally:
        swarm.destroy()


async def test_a_seller_and_a_buyer_do_as_the_guides_say(swarm: Swarm, tmp_path: Path) -> None:
    sealed_clouds.add_data(swarm)
    held = sealed_clouds.write_csv(tmp_path / "holdout.csv", *sealed_clouds.HOLDOUT)
    swarm.requester.call("data.add", name="holdout", path=str(held))
    job = sealed_clouds.post(swarm, rounds=1)
    await ends(swarm, job, 120)

    learns = {"OFFER": r"offer (0x[0-9a-f]{8})[0-9a-f]{56}: the class"}
    seller = Reader(
        tmp_path / "seller",
        words={"JOB": job},
        learns=learns,
        until={"assay sales": rf" {ROWS} +[0-9.]+ ether +0\.0006 ether "},
        homes={"": swarm.requester.home.path},
    )
    line = swarm.requester.call("status")["join_line"]
    buyer = Reader(
        tmp_path / "buyer",
        words={"LINE": line, "URL": swarm.chain.url},
        learns={"OFFER": r"\b(0x[0-9a-f]{8}) +0x[0-9a-f]{8} +the class"},
        until={"assay account": r"ether", "assay offers": r"the class"},
    )
    _, truth = sealed_clouds.points(7, ROWS)
    rows = sealed_clouds.write_csv(buyer.place("") / "all.csv", 7, ROWS).read_text().splitlines()
    told = "\n".join(row.rpartition(",")[0] for row in rows) + "\n"
    (buyer.place("") / "new.csv").write_text(told)

    async def fund() -> None:
        """Somebody sends the newcomer ether, once it has an account."""
        home = Home(buyer.place("") / ".local" / "share" / "assay")
        await until(lambda: (home.keys / "vault.json").exists(), 120, "its home is made")
        swarm.chain.rpc("assay_fund", "0x" + public_account(home).hex(), hex(10**18))

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, seller.read, GUIDES / "sell.md")
            nursery.start_soon(fund)
            await until(lambda: "OFFER" in seller.words, 120, "it is offered")
            await trio.to_thread.run_sync(buyer.read, GUIDES / "buy.md")
    finally:
        await trio.to_thread.run_sync(buyer.end, "assay down")
    assert seller.words["OFFER"] == buyer.words["OFFER"]
    assert "5 owners, 1 rounds" in buyer.said("assay offers show")
    bought = predictions(buyer.place("") / "bought.csv")
    assert len(bought) == ROWS
    clear = tmp_path / "clear.csv"
    command = ["assay", "predict", job, str(buyer.place("") / "new.csv"), "--out", str(clear)]
    await trio.to_thread.run_sync(seller.end, " ".join(command))
    assert predictions(clear) == bought
    assert sum(mine == str(own) for mine, own in zip(bought, truth, strict=True)) >= ROWS - 2
    assert "0.0006 ether redeemed" in seller.said("assay redeem")
