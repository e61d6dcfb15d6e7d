"""Looks at the chain through each chain node alone, side by side and bounded in time."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeVar

import trio

from node.chain.channels.reading import check_code
from node.chain.client import ChainClient
from node.chain.errors import NoContract, OtherContract, WrongChain
from node.doctor.looking.bounded import cut
from node.doctor.seen import ChainSeen, EndpointSeen
from node.home.config import Config
from protocol.errors import ChainError

T = TypeVar("T")

#: Seconds for one call, and for all that one chain node is asked.
CALL_SECONDS: Final = 4.0
NODE_SECONDS: Final = 15.0
#: All nodes are compared so many blocks below the lowest head: newer ones may differ for a moment.
COMPARED_DEPTH: Final = 8
#: Blocks whose logs are asked for, as the daemon asks for them.
_LOGS: Final = 8


def look_chain(config: Config, account: bytes | None) -> ChainSeen:
    """Every chain node of the settings. `account`: whose balance is asked for."""
    return trio.run(_look, config, account)


async def _look(config: Config, account: bytes | None) -> ChainSeen:
    urls = [each for each in (config.chain_url, *config.chain_urls) if each is not None]
    found: dict[int, EndpointSeen] = {}
    clients: dict[int, ChainClient] = {}

    async def each(place: int, url: str) -> None:
        # A chain id that is not known yet is no reason not to look: any is then taken.
        client = await ChainClient.open(
            url, config.chain_id or 0, config.contract, timeout=CALL_SECONDS
        )
        clients[place] = client
        found[place] = EndpointSeen(client.url, f"it gave no answer within {NODE_SECONDS:g} s")
        with trio.move_on_after(NODE_SECONDS):
            found[place] = await _ask(client, config, account, found[place])

    async with trio.open_nursery() as nursery:
        for place, url in enumerate(urls):
            nursery.start_soon(each, place, url)
    common = await _compare(clients, found)
    for client in clients.values():
        client.close()
    return ChainSeen(tuple(found[place] for place in sorted(found)), common)


async def _ask(
    client: ChainClient, config: Config, account: bytes | None, seen: EndpointSeen
) -> EndpointSeen:
    try:
        head = await client.head()
    except ChainError as error:
        return dataclasses.replace(seen, why=cut(str(error)))
    seen = dataclasses.replace(seen, why="", head=head.number, head_time=head.timestamp)
    seen = await _identity(client, config, seen)
    if final := await _maybe(client.finalized):
        seen = dataclasses.replace(seen, finalized=final.number)
    if fees := await _maybe(client.fees):
        seen = dataclasses.replace(seen, fee=fees.base_fee, tip=fees.tip)
    if account is not None:
        balance = await _maybe(partial(client.balance, account))
        seen = dataclasses.replace(seen, balance=balance)
    if config.channel_contract is not None and seen.chain_id == config.chain_id is not None:
        seen = await _channel(client, config.channel_contract, seen)
    if config.contract is not None:
        seen = dataclasses.replace(seen, logs=await _logs(client, head.number))
    return seen


async def _identity(client: ChainClient, config: Config, seen: EndpointSeen) -> EndpointSeen:
    """Which chain it serves, and what lies at the contract's address."""
    if config.chain_id is None:
        return seen
    try:
        await client.check()
    except WrongChain as error:
        return dataclasses.replace(seen, chain_id=error.got)
    except NoContract:
        return dataclasses.replace(seen, chain_id=config.chain_id, code="none")
    except OtherContract:
        return dataclasses.replace(seen, chain_id=config.chain_id, code="other")
    except ChainError as error:
        return dataclasses.replace(seen, why=cut(str(error)))
    seen = dataclasses.replace(seen, chain_id=config.chain_id)
    return seen if config.contract is None else dataclasses.replace(seen, code="right")


async def _channel(client: ChainClient, contract: bytes, seen: EndpointSeen) -> EndpointSeen:
    """What lies at the channel contract's address; nothing where the node does not tell."""
    try:
        await check_code(client, contract)
    except NoContract:
        return dataclasses.replace(seen, channel="none")
    except OtherContract:
        return dataclasses.replace(seen, channel="other")
    except ChainError:
        return seen
    return dataclasses.replace(seen, channel="right")


async def _maybe(ask: Callable[[], Awaitable[T]]) -> T | None:
    """An answer; None where the node has none: what follows of it is then not asked."""
    try:
        return await ask()
    except ChainError:
        return None


async def _logs(client: ChainClient, head: int) -> str:
    """Why it does not show the contract's events; empty if it does."""
    try:
        await client.logs(max(0, head - _LOGS), head)
    except ChainError as error:
        return cut(str(error))
    return ""


async def _compare(clients: dict[int, ChainClient], found: dict[int, EndpointSeen]) -> int | None:
    """Ask those that answer for the hash of one block; its number, None with fewer than two."""
    heads = {place: each.head for place, each in found.items() if not each.why}
    lowest = min((head for head in heads.values() if head is not None), default=math.inf)
    if len(heads) < 2 or lowest == math.inf:
        return None
    number = max(0, int(lowest) - COMPARED_DEPTH)

    async def each(place: int) -> None:
        told = await _maybe(partial(clients[place].block_hash, number))
        if told is not None:
            found[place] = dataclasses.replace(found[place], common=told.hex())

    with trio.move_on_after(CALL_SECONDS):
        async with trio.open_nursery() as nursery:
            for place in heads:
                nursery.start_soon(each, place)
    return number
