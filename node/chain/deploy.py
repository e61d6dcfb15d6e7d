"""Put the contracts on a chain, bounty and channel: done once, by the founder of a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import trio

from contracts import interface
from node.chain.client import ChainClient
from node.chain.errors import Reverted
from node.chain.fees import GWEI
from node.chain.signer import Signer, hash_of
from protocol.errors import ChainError

#: Seconds between looks for the receipt.
POLL_SECONDS: Final = 0.2


#: Gas beside the estimate, percent.
_MARGIN_PERCENT: Final = 10

Contract = Literal["bounty", "channel"]


@dataclass(frozen=True, slots=True)
class Price:
    """What a deployment takes: gas, and what is offered for it, wei per gas."""

    gas: int
    max_fee: int
    tip: int

    @property
    def most(self) -> int:
        """The most that it can cost, wei; the account must hold it."""
        return self.gas * self.max_fee


async def price_deployment(
    client: ChainClient, account: bytes, *, limit: int = 200 * GWEI, name: Contract = "bounty"
) -> Price:
    """What a deployment from `account` would take now.

    `limit` is the most that may be offered, wei per gas. Raises ChainError: too dear, no funds, or
    the chain node refuses the code.
    """
    max_fee, tip = (await client.fees()).offer(limit)
    gas = await client.estimate(account, None, _code(name))
    return Price(gas + gas * _MARGIN_PERCENT // 100, max_fee, tip)


async def deploy(
    client: ChainClient,
    signer: Signer,
    name: Contract,
    *,
    timeout: float = 120.0,
    price: Price | None = None,
) -> bytes:
    """Deploy a contract and wait for its block; its 20-byte address.

    `price` is what was agreed on; without it, whatever `price_deployment` says. Raises ChainError:
    too dear, no funds, a revert, or no block within `timeout` seconds. The client's own `contract`
    is left as it is.
    """
    agreed = price or await price_deployment(client, signer.account, name=name)
    transaction = {
        "type": 2,
        "chainId": client.chain_id,
        "nonce": await client.nonce(signer.account),
        "gas": agreed.gas,
        "maxFeePerGas": agreed.max_fee,
        "maxPriorityFeePerGas": agreed.tip,
        "value": 0,
        "data": _code(name),
    }
    raw = signer.sign_transaction(transaction)
    tx_hash = hash_of(raw)
    await client.send(raw)
    with trio.move_on_after(timeout):
        while True:
            receipt = await client.receipt(tx_hash)
            if receipt is not None:
                break
            await trio.sleep(POLL_SECONDS)
        if not receipt.ok or receipt.contract is None:
            raise Reverted(client.url, "deployment", "the constructor failed", b"")
        return receipt.contract
    raise ChainError(f"deployment 0x{tx_hash.hex()} was not mined within {timeout:g} s")


def _code(name: Contract) -> bytes:
    return bytes.fromhex(interface(name).bytecode.removeprefix("0x"))
