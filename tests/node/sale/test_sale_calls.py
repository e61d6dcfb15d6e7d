"""What people are told of sales while the daemon starts."""

from __future__ import annotations

from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing

from node.sale.calls import SaleCalls
from node.sale.sale import Sale
from protocol.errors import AssayError


class Starting:
    """Parts of a sale whose channels are still being read: there seem to be none."""

    def __init__(self) -> None:
        self._loaded = trio.Event()
        self.served = SimpleNamespace(standing={}, all=self._all)
        self.paying = SimpleNamespace(all=list)
        self.channels = SimpleNamespace(contract=None)

    def require(self) -> None:
        """There is a contract."""

    async def ready(self) -> None:
        await Sale.ready(self)  # type: ignore[arg-type]

    async def _all(self) -> list[Any]:
        assert self._loaded.is_set(), "channels are told before they are read"
        return []


@pytest.mark.parametrize(
    ("name", "given"),
    [("sale_channels", ()), ("sale_redeem", (None,)), ("sale_reclaim", ("0x12",))],
)
async def test_channels_are_told_once_they_are_read(name: str, given: tuple[Any, ...]) -> None:
    nothing: Any = None
    sale: Any = Starting()
    calls = SaleCalls(nothing, sale, nothing)
    ended: list[bool] = []

    async def ask() -> None:
        with suppress(AssayError):  # there is nothing to redeem, or to take back
            await getattr(calls, name)(*given)
        ended.append(True)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        assert ended == []
        sale._loaded.set()
    assert ended == [True]
