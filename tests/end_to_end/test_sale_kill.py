"""Buyer and seller killed at every step of a query and its voucher: nothing is lost, or paid twice.

A daemon kills itself by SIGKILL around the commit of the n-th state that it stores: inside, so that
the step is undone, or right after, so that nothing of what follows from it was done.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio
from kits.daemons import clouds
from kits.daemons.processes import Daemon, Swarm, until
from kits.daemons.sales import PRICE, granted, predictions, put_on_sale

pytestmark = pytest.mark.waits(150)

ROWS = 2

SITE = """
import os, signal
from node.store.sale import channels
from node.store import store
MARK = {mark!r}
save, run, seen = channels.save_state, store.Store.run, {{"n": 0, "text": "", "now": False}}

def die():
    os.unlink(MARK)
    os.kill(os.getpid(), signal.SIGKILL)

def save_state(tx, side, channel, state, over):
    save(tx, side, channel, state, over)
    if not os.path.exists(MARK):
        return
    text = open(MARK).read()
    if text != seen["text"]:
        seen.update(n=0, text=text)
    wanted, number, when = text.split()
    if side != wanted:
        return
    seen["n"] += 1
    if seen["n"] == int(number):
        if when == "before":
            die()
        seen["now"] = True

async def run_and_die(self, function):
    found = await run(self, function)
    if seen["now"]:
        die()
    return found

channels.save_state, store.Store.run = save_state, run_and_die
"""

#: Which of a side's stored states, and where around its commit. A buyer stores three a row: its
#: query, its choices, the label with its voucher; a seller two: the masked answer and the circuit.
#: The payment of all rows, and its receipt, are one more of each side.
NOW = [("buyer", 2, "after"), ("seller", 2, "before")]
LATER = [
    (side, number, when)
    for side, most in (("buyer", 3 * ROWS + 1), ("seller", 2 * ROWS + 1))
    for number in range(1, most + 1)
    for when in ("before", "after")
    if (side, number, when) not in NOW
]
CASES = [pytest.param(*case, id="-".join(map(str, case))) for case in NOW] + [
    pytest.param(*case, id="-".join(map(str, case)), marks=pytest.mark.ci) for case in LATER
]


@dataclass
class Market:
    """A swarm whose requester sells; owner 0 buys. `mark` says where a daemon kills itself."""

    swarm: Swarm
    job: str
    offer: str
    mark: Path
    bought: list[int] = field(default_factory=list)

    def side(self, name: str) -> Daemon:
        return self.swarm.owners[0] if name == "buyer" else self.swarm.requester


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    folder = tmp_path_factory.mktemp("sale-kill")
    swarm = Swarm(folder, owners=5)
    mark, site = folder / "mark", folder / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(SITE.format(mark=str(mark)))
    swarm.requester.site = swarm.owners[0].site = site
    try:
        yield Market(swarm, *put_on_sale(swarm, rounds=1), mark)
    finally:
        swarm.destroy()


@pytest.mark.parametrize(("side", "number", "when"), CASES)
async def test_a_kill_loses_no_answer_and_pays_none_twice(
    market: Market, tmp_path: Path, side: str, number: int, when: str
) -> None:
    victim, buyer, seller = market.side(side), market.side("buyer"), market.side("seller")
    rows = clouds.write_csv(tmp_path / "new.csv", seed=hash_of(side, number, when), rows=ROWS)
    out, own = tmp_path / "bought.csv", tmp_path / "own.csv"
    words = ("predict", market.offer, str(rows), "-o", str(out), "--yes", "--force", "--budget")
    market.mark.write_text(f"{side} {number} {when}")
    await trio.to_thread.run_sync(buyer.command, *words, "0.01 ether")
    await until(lambda: not victim.running, 60, f"the {side} kills itself")
    assert not market.mark.exists()
    await victim.start()
    await until(lambda: buyer.call("peers") != [], 60, "both are connected again")

    for _ in range(3):  # a seller that is just back may be dialled in vain
        again = await trio.to_thread.run_sync(buyer.command, *words, "0.01 ether")
        if again.returncode == 0:
            break
    assert again.returncode == 0, again
    await trio.to_thread.run_sync(seller.command, "predict", market.job, str(rows), "-o", str(own))
    assert predictions(out) == predictions(own)

    market.bought.append(ROWS)
    wanted = PRICE * sum(market.bought)

    def settled() -> bool:
        asked = granted(buyer)
        return asked == granted(seller) and sum(asked.values()) == wanted

    await until(settled, 90, f"{wanted} is granted, on both sides")


def hash_of(side: str, number: int, when: str) -> int:
    """A seed of its own for each case: a row that was bought before would not be asked for."""
    return 1000 + 100 * (side == "buyer") + 10 * number + (when == "after")
