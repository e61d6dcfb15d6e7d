"""Lives of a buyer's and a seller's node, forked off one process: killed at the n-th commit, then
another that goes on. `python -m kits.chain.sale_lives JSON`: the last line says how many died.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import trio

from kits.chain.devnet import LocalSigner, rpc
from kits.chain.sale_sides import PRICE, Life, buyer_of, grant, made_offer, seller_of
from node.store.sale import channels as stored
from node.store.store import Store

_DEPOSIT = 4 * PRICE


@contextmanager
def _killed_at(number: int, when: str) -> Iterator[None]:
    """SIGKILL around the commit of that number: inside, so that it is undone, or right after."""
    run, seen = Store.run, 0

    async def run_and_die(self: Store, function: Callable[..., Any]) -> Any:
        nonlocal seen
        seen += 1
        last = seen == number

        def within(tx: Any) -> Any:
            found = function(tx)
            if last and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            return found

        found = await run(self, within)
        if last and number:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    Store.run = run_and_die  # type: ignore[method-assign]
    yield


def _life(function: Callable[[], Awaitable[None]], number: int = 0, when: str = "after") -> bool:
    """Run in a process of its own; whether it was killed. Raises RuntimeError where it failed."""
    process = os.fork()
    if not process:
        try:
            with _killed_at(number, when):
                trio.run(function)
        except BaseException:  # noqa: BLE001 - a fork ends here, whatever it met
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(process, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return True
    if status:
        raise RuntimeError("a life failed")
    return False


class _Lives:
    def __init__(self, life: Life, folder: Path, buyer: LocalSigner, seller: LocalSigner) -> None:
        self.life, self.buyer, self.seller = life, buyer, seller
        self._bought, self._sold = folder / "buyer", folder / "seller"

    def nonce(self, signer: LocalSigner) -> int:
        said = self.life.devnet.rpc(
            "eth_getTransactionCount", "0x" + signer.account.hex(), "latest"
        )
        return int(said, 16)

    async def open(self, wanted: int) -> None:
        """Have so many channels in all: what was being opened is, and a new one is if it is not."""
        with Store.open(self._bought) as store:
            async with (
                buyer_of(self.life, self.buyer, store) as buying,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(buying.channels.run)
                await buying.channels.resumed.wait()
                if len(buying.channels.all()) < wanted:
                    await buying.opened(made_offer(self.life, self.seller), _DEPOSIT)
                _hold(len(buying.channels.all()) == wanted, "one channel each")
                _hold(not await store.read(stored.openings), "no opening is left")
                nursery.cancel_scope.cancel()

    async def hand_over(self, rows: int) -> None:
        """The seller knows every channel; of the first, so many rows are granted."""
        with Store.open(self._bought) as bought, Store.open(self._sold) as sold:
            async with (
                buyer_of(self.life, self.buyer, bought) as buying,
                seller_of(self.life, self.seller, sold) as selling,
            ):
                for paying in buying.channels.all():
                    await grant(self.life, paying, selling, self.buyer, rows)

    async def redeem(self, number: int) -> None:
        """Redeem the channel of that number, or go on with it."""
        with Store.open(self._sold) as store:
            async with (
                seller_of(self.life, self.seller, store) as selling,
                trio.open_nursery() as nursery,
            ):
                channel = list(selling.served.standing)[number]
                standing = selling.served.standing[channel]
                if standing.redeeming:
                    nursery.start_soon(selling.redeeming.run)
                elif not standing.redeemed:
                    await selling.redeeming.redeem(channel)
                while not selling.served.standing[channel].redeemed:  # noqa: ASYNC110 - no event
                    await trio.sleep(0.02)
                _hold(selling.served.standing[channel].redeemed == PRICE, "what is granted")
                nursery.cancel_scope.cancel()

    async def close(self, number: int) -> None:
        """Take back the rest of the channel of that number, which has expired."""
        with Store.open(self._bought) as store:
            async with buyer_of(self.life, self.buyer, store) as buying:
                paying = buying.channels.all()[number]
                if not paying.row.over:
                    await buying.channels.close(paying)
                _hold(paying.row.over, "over")


def _hold(true: object, what: str) -> None:
    if not true:
        raise RuntimeError(f"not so: {what}")


def main(given: str) -> None:
    """See the module."""
    url, bounty, channels, folder, when, most, buyer, seller = json.loads(given)
    devnet = SimpleNamespace(url=url, rpc=partial(rpc, url))
    life = Life(devnet, bytes.fromhex(bounty), bytes.fromhex(channels))
    lives = _Lives(life, Path(folder), LocalSigner(buyer), LocalSigner(seller))
    killed = {}
    opened = 0
    for number in range(1, most + 1):
        opened = number
        died = _life(partial(lives.open, number), number, when)
        _life(partial(lives.open, number))
        _hold(life.ether(life.channels) == number * _DEPOSIT, "one deposit a channel")
        _hold(lives.nonce(lives.buyer) == number, "one transaction a channel")
        killed["open"] = number - (not died)
        if not died:
            break

    _life(partial(lives.hand_over, 1))
    redeemed = 0
    for number in range(1, opened + 1):
        died = _life(partial(lives.redeem, number - 1), number, when)
        _life(partial(lives.redeem, number - 1))
        redeemed = number
        _hold(lives.nonce(lives.seller) == number, "one redeem a channel")
        _hold(life.ether(life.channels) == opened * _DEPOSIT - number * PRICE, "redeemed once")
        killed["redeem"] = number - (not died)
        if not died:
            break

    life.pass_time(3 * 86_400)
    for number in range(1, opened + 1):
        died = _life(partial(lives.close, number - 1), number, when)
        _life(partial(lives.close, number - 1))
        _hold(lives.nonce(lives.buyer) == opened + number, "one close a channel")
        closed = number * _DEPOSIT - min(number, redeemed) * PRICE
        left = opened * _DEPOSIT - redeemed * PRICE - closed
        _hold(life.ether(life.channels) == left, "the rest is back")
        killed["close"] = number - (not died)
        if not died:
            break
    sys.stdout.write(json.dumps(killed) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
