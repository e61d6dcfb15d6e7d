"""Put the bounty contract on a chain: done once, by the founder of a network."""

from __future__ import annotations

from typing import Final

import trio

from contracts import interface
from node.chain.client import ChainClient
from node.chain.errors import Reverted
from node.chain.fees import GWEI
from node.chain.signer import Signer, hash_of
from protocol.errors import ChainError

#: Seconds between looks for the receipt.
POLL_SECONDS: Final = 0.2


async def deploy_bounty(
    client: ChainClient, signer: Signer, *, timeout: float = 120.0, limit: int = 200 * GWEI
) -> bytes:
    """Deploy the contract and wait for its block; its 20-byte address.

    `limit` is the most that is offered, wei per gas. Raises ChainError: too dear, no funds, a
    revert, or no block within `timeout` seconds. The client's own `contract` is left as it is.
    """
    data = bytes.fromhex(interface().bytecode.removeprefix("0x"))
    max_fee, tip = (await client.fees()).offer(limit)
    gas = await client.estimate(signer.account, None, data)
    transaction = {
        "type": 2,
        "chainId": client.chain_id,
        "nonce": await client.nonce(signer.account),
        "gas": gas + gas // 10,
        "maxFeePerGas": max_fee,
        "maxPriorityFeePerGas": tip,
        "value": 0,
        "data": data,
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
