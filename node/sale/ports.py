"""What the runtimes need of the chain: channels opened, looked at, redeemed, closed.

A port, so that the runtimes' tests need no chain and the chain's side knows no machine.
"""

from __future__ import annotations

from typing import Protocol

from node.chain.channels.calls import ChannelState
from protocol.errors import InputError
from protocol.sale.vouchers import Terms, Voucher


def no_contract() -> InputError:
    """Why nothing can be sold or bought from here, and what to do."""
    return InputError(
        "this home knows no channel contract, which pays for predictions: set "
        "chain.channel_contract in config.toml to your network's, or put one on its chain with "
        "`assay deploy --channel`",
        "chain.channel_contract",
    )


class Channels(Protocol):
    """The chain's side of payment channels (contracts/channel.vy)."""

    @property
    def contract(self) -> bytes | None:
        """The channel contract's address, 20 bytes; None where this node knows of none."""
        ...

    async def open(
        self, seller: bytes, token: bytes, deposit: int, expiry: int, action_id: str
    ) -> Terms:
        """Open a channel from this node's account, once an `action_id`: the salt follows from it,
        and who calls again, after a crash too, gets the same channel. `expiry` in Unix seconds of
        the chain. Returns once the opening is final.

        Raises InputError (no contract, not enough money, terms that the contract refuses), and
        ChainError where the transaction failed for good.
        """
        ...

    async def look(self, terms: Terms) -> ChannelState | None:
        """The channel at a final head; None where it is not there (yet). Raises ChainError where
        the chain cannot be asked now."""
        ...

    async def redeem(self, terms: Terms, voucher: Voucher) -> None:
        """Redeem a voucher: once a channel and amount. Returns once that is final. Raises as `open`
        does."""
        ...

    async def close(self, terms: Terms) -> None:
        """Close a channel of this node's account: as its buyer from the expiry on, as its seller at
        any time. Returns once that is final. Raises as `open` does."""
        ...

    async def close_released(self, terms: Terms, redeemed: int, release: bytes) -> None:
        """Close a channel with its seller's release, which holds once `redeemed` is redeemed.
        Returns once that is final. Raises as `open` does."""
        ...
