"""A file that is bought for at the pace of its offer, on a clock that the test moves."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.lowlevel
import trio.testing
from kits.chain.devnet import SIGNERS
from kits.chain.sale_sides import PEER, PRICE, Life, made_offer

from node.net.guard import Bucket
from node.sale.buy.paying import Paying
from node.sale.buy.purchases import Purchase, Purchases
from node.sale.market import OnSale
from node.store.sale.channels import ChannelRow
from node.work.sale.purchases import Prepared
from protocol.sale import buyer
from protocol.sale.vouchers import Terms

#: Two minutes of the clock that each test here is held to (kits.chain.fixtures).
ROWS = 3
WIDTH = 16


class Buying:
    """Purchases of one offer, whose seller answers `batch` rows at once, then `minute` a minute."""

    def __init__(self, nursery: trio.Nursery, folder: Path, batch: int, minute: int) -> None:
        life = Life(None, b"\x01" * 20, b"\x02" * 20)
        offer = dataclasses.replace(made_offer(life, SIGNERS[3]), batch=batch, minute=minute)
        terms = Terms(SIGNERS[2].account, offer.account, offer.token, 2**31, bytes(32))
        row = ChannelRow("buyer", terms.channel, offer.digest, b"", PEER, b"", b"", terms.expiry)
        state = buyer.opened(terms, 100 * PRICE, PRICE, offer.mode)
        self._paying = Paying(row, offer, state)
        self._pace = Bucket(minute / 60, batch, trio.current_time(), batch)
        self.asked = self.paid = 0
        channels: Any = SimpleNamespace(
            all=lambda: [self._paying], usable=lambda _: self._paying, pay=self._pay
        )
        services: Any = SimpleNamespace(home=SimpleNamespace(path=folder))
        asking: Any = SimpleNamespace(ask=self._ask)
        market: Any = None
        self.purchases = Purchases(services, market, asking, channels, nursery)
        features = folder / "rows"
        bodies = [bytes([number]) * WIDTH for number in range(ROWS)]
        features.write_bytes(b"".join(bodies))
        digests = b"".join(sha256(body).digest() for body in bodies)
        prepared = Prepared(digests, tuple(range(ROWS)), "row", 0, "", ())
        self.bought = Purchase(
            "a", OnSale(PEER, offer), b"", prepared, features, WIDTH, [None] * ROWS
        )

    async def _ask(self, paying: Paying, features: bytes | None) -> None:
        while not self._pace.allows(trio.current_time()):  # noqa: ASYNC110 - a pace tells nobody
            await trio.sleep(1)
        assert features is not None
        self.asked += 1
        state = paying.state
        answered = state.answered + 1
        paying.state = dataclasses.replace(state, answered=answered, last=(features[0],))

    async def _pay(self, paying: Paying) -> None:
        self.paid = paying.state.answered

    async def go_on(self, clock: trio.testing.MockClock, rows: int = 100) -> None:
        """One call of whoever waits: two seconds at most, and money for so many rows."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.purchases.go_on, self.bought, rows * PRICE)
            await pass_time(clock, 2)


async def pass_time(clock: trio.testing.MockClock, seconds: int) -> None:
    for _ in range(seconds):
        await trio.testing.wait_all_tasks_blocked()
        clock.jump(1)
    await trio.testing.wait_all_tasks_blocked()


@asynccontextmanager
async def buying(folder: Path, batch: int, minute: int) -> AsyncIterator[Buying]:
    async with trio.open_nursery() as nursery:
        yield Buying(nursery, folder, batch, minute)
        nursery.cancel_scope.cancel()


async def test_a_row_that_waits_a_minute_is_bought_while_somebody_waits(
    tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    async with buying(tmp_path, batch=1, minute=1) as found:
        bought = found.bought
        await found.go_on(mock_clock)
        assert found.bought.running
        for _ in range(60 * ROWS):
            if not bought.running:
                break
            await found.go_on(mock_clock)
        assert bought.results == [(number,) for number in range(ROWS)]
        assert (bought.asked, bought.spent) == (ROWS, ROWS * PRICE)


@pytest.mark.parametrize("rows", [2, 100], ids=["budget", "all"])
async def test_what_was_answered_last_is_paid_at_once_also_where_the_budget_ends(
    rows: int, tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    """The buyer's daemon may be told to end a moment later."""
    async with buying(tmp_path, batch=ROWS, minute=60) as found:
        await found.go_on(mock_clock, rows)
        assert not found.bought.running
        assert found.paid == found.asked == min(rows, ROWS)


async def test_asking_ends_when_nobody_waits_and_goes_on_where_it_was(
    tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    async with buying(tmp_path, batch=1, minute=1) as found:
        bought = found.bought
        await found.go_on(mock_clock)
        await pass_time(mock_clock, 41)
        assert not bought.running
        # The row that was cut off is left, and no later one was begun.
        assert bought.open_rows == [1, 2]
        asked = found.asked
        await pass_time(mock_clock, 5)
        assert found.asked == asked == 1
        while bought.open_rows:
            await found.go_on(mock_clock)
        assert bought.results == [(number,) for number in range(ROWS)]


@pytest.fixture(autouse=True)
def _no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock counts a thread as waiting: rows are read at once."""

    async def at_once(function: Any, *args: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return function(*args)

    monkeypatch.setattr(trio.to_thread, "run_sync", at_once)
