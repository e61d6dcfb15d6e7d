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
from protocol.errors import AssayError, InputError


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


@pytest.mark.parametrize(
    ("name", "given", "told"),
    [
        ("price", 0, "is 0; 1 to "),
        ("price", 2**128, "; 1 to "),
        ("batch", 0, "is 0; 1 to 100000 is allowed"),
        ("minute", 6001, "is 6001; 1 to 6000 is allowed"),
        ("days", 366, "is 366; 1 to 365 is allowed"),
        ("accuracy", 90.0, "is 90; 0 to 1 is allowed, 0.9 for 90 of 100"),
        ("accuracy", float("nan"), "is nan; 0 to 1"),
    ],
)
async def test_an_offers_terms_are_refused_by_the_name_that_was_given(
    name: str, given: float, told: str
) -> None:
    nothing: Any = None
    calls = SaleCalls(nothing, nothing, nothing)
    terms = {"price": 1, "batch": 1, "minute": 1, "days": 1, "accuracy": 0.9} | {name: given}
    with pytest.raises(InputError, match=told) as refused:
        await calls.sale_offer("0x12", token=None, scores=False, dry_run=True, **terms)  # type: ignore
    assert refused.value.field == name
