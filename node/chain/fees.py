"""What a transaction offers for gas: bounded, because a chain node's suggestion is only a word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median_low
from typing import Any, Final

from node.chain import replies
from protocol.errors import ChainError

GWEI: Final = 10**9

#: Chain blocks whose tips are looked at (eth_feeHistory), and which of each: half paid less.
HISTORY_BLOCKS: Final = 10
HISTORY_PERCENTILE: Final = 50

#: A tip is at most this many times the base fee, or this many wei where the base fee is next to
#: nothing: chains of that kind ask for up to 30 gwei (Polygon), and for a transaction of 200,000
#: gas that is 0.006 ether.
TIP_MULTIPLE: Final = 10
TIP_FLOOR: Final = 30 * GWEI


class TooDear(ChainError):
    """Gas costs more than this home's settings allow."""

    def __init__(self, base_fee: int, limit: int) -> None:
        super().__init__(
            f"gas costs {base_fee / GWEI:.6g} gwei now, and chain.max_fee_gwei in config.toml "
            f"allows {limit / GWEI:.6g}: wait until it costs less, or raise the setting and start "
            "again"
        )


#: A replacement pays this much more, percent: nodes demand 10 (geth's default price bump).
BUMP_PERCENT: Final = 25


@dataclass(frozen=True, slots=True)
class Fees:
    """Fees for the next chain block, wei per gas (EIP-1559)."""

    base_fee: int
    tip: int

    def bounded(self) -> Fees:
        """With a tip that no chain node's word can drive beyond what a chain may need."""
        return Fees(self.base_fee, min(self.tip, max(TIP_FLOOR, TIP_MULTIPLE * self.base_fee)))

    def offer(self, limit: int) -> tuple[int, int]:
        """The most that a transaction offers and its tip, within `limit`. Raises TooDear.

        Twice the base fee holds for six full blocks of rising fees (EIP-1559: 12.5 % each).
        """
        if self.base_fee >= limit:
            raise TooDear(self.base_fee, limit)
        return min(2 * self.base_fee + self.tip, limit), min(self.tip, limit - self.base_fee)

    def raised(self, max_fee: int, tip: int, limit: int) -> tuple[int, int]:
        """What replaces an offer that was not taken, as nodes ask for; it may be beyond `limit`.

        Raises TooDear.
        """
        offered, tipped = self.offer(limit)
        return max(_bumped(max_fee), offered), max(_bumped(tip), tipped)


def _bumped(fee: int) -> int:
    return fee + fee * BUMP_PERCENT // 100 + 1


def history(value: Any) -> Fees:
    """eth_feeHistory's result: the next block's base fee, and what tips were paid of late.

    The tip is zero where nobody paid one. Raises Invalid.
    """
    if not isinstance(value, dict):
        raise replies.Invalid("fee history is no object")
    bases, rewards = value.get("baseFeePerGas"), value.get("reward")
    for each in (bases, rewards):
        if not isinstance(each, list) or not 1 <= len(each) <= HISTORY_BLOCKS + 1:
            raise replies.Invalid("fee history has no base fees or no rewards")
    tips = [_tip(each) for each in rewards or ()]
    paid = [tip for tip in tips if tip]
    base = replies.quantity((bases or [""])[-1], "baseFeePerGas")
    return Fees(base, median_low(paid) if paid else 0)


def _tip(reward: Sequence[Any]) -> int:
    if not isinstance(reward, list) or len(reward) != 1:
        raise replies.Invalid("a reward of a block is not one")
    return replies.quantity(reward[0], "reward")
