"""A chain node's JSON-RPC: node.chain.provider.BoundedProvider's place, over the simulated chain.

The client above it is the product's own, with its tries, its doubts and its codec. What a public
endpoint does wrong is in `Moods`, of which each node has its own.
"""

from __future__ import annotations

import functools
import random
from dataclasses import dataclass, field
from typing import Any

import trio
from eth_abi import encode
from eth_hash.auto import keccak

from contracts import interface
from node.chain.contract import Codec
from node.chain.errors import Busy, Unreachable
from virtual.chain import (
    BASE_FEE,
    CHAIN_ID,
    CONTRACT,
    GAS,
    GWEI,
    Block,
    Chain,
    Mined,
    call_of,
    data_of,
)
from virtual.ledger import NOBODY, Revert

TIP = GWEI


@dataclass
class Moods:
    """What is wrong with an endpoint; nothing at first. Times are seconds."""

    latency: tuple[float, float] = (0.002, 0.03)
    #: Receipts are null for so long after their block.
    receipts_late: float = 0.0
    #: Logs of a block are missing for so long after it.
    logs_late: float = 0.0
    #: How many calls are refused, hung up on, or sent away.
    failing: float = 0.0
    down: bool = False
    #: Its head lags so many blocks behind.
    behind: int = 0
    #: The tip that it suggests, wei per gas.
    tip: int = TIP
    #: Methods that it does not have.
    lacks: frozenset[str] = field(default_factory=frozenset)


class SharedCodec(Codec):
    """One codec for all nodes: a log is decoded once."""

    def __init__(self) -> None:
        super().__init__()
        self.event = functools.lru_cache(maxsize=4096)(super().event)  # type: ignore[method-assign]
        self._topics = super().topics()

    def topics(self) -> list[bytes]:
        return self._topics


@functools.cache
def codec() -> SharedCodec:
    return SharedCodec()


class Provider:
    """One node's endpoint. `took` gets the seconds that a call took."""

    shown = "http://chain"

    def __init__(self, chain: Chain, dice: random.Random, took: list[float]) -> None:
        self._chain, self._dice, self._took = chain, dice, took
        self.moods = Moods()

    def close(self) -> None:
        """Nothing is open."""

    def make_request(self, method: str, params: Any) -> dict[str, Any]:
        moods = self.moods
        self._took.append(self._dice.uniform(*moods.latency))
        if moods.down:
            raise Unreachable(self.shown, "connection refused")
        if moods.failing and self._dice.random() < moods.failing:
            kind = self._dice.choice((429, 503, 0))
            if kind:
                raise Busy(self.shown, method, kind, f"HTTP {kind}")
            raise Unreachable(self.shown, "the connection was closed")
        if method in moods.lacks:
            return _error(-32601, f"the method {method} does not exist")
        try:
            return {"result": getattr(self, method)(*params)}
        except Revert as revert:
            text = str(revert)
            if text.startswith("bounty: "):
                reason = bytes.fromhex("08c379a0") + encode(["string"], [text])
                return _error(3, "execution reverted: " + text, "0x" + reason.hex())
            return _error(-32000, text)

    # --- what is true at a block ------------------------------------------------------------

    @property
    def _blocks(self) -> list[Block]:
        blocks = self._chain.blocks
        return blocks[: max(1, len(blocks) - self.moods.behind)] if self.moods.behind else blocks

    def _at(self, tag: str) -> Block | None:
        blocks = self._blocks
        if tag == "latest":
            return blocks[-1]
        number = int(tag, 16)
        return blocks[number] if number < len(blocks) else None

    def _state(self, tag: str) -> Block:
        found = self._at(tag)
        if found is None:
            raise Revert("header not found")
        return found

    def _block_of(self, tx_hash: bytes) -> Block | None:
        found = self._chain.index.get(tx_hash)
        return found if found is not None and found.number < len(self._blocks) else None

    # --- methods ----------------------------------------------------------------------------

    def eth_chainId(self) -> str:
        return hex(CHAIN_ID)

    def eth_getCode(self, address: str, tag: str) -> str:
        return "0x" + (_runtime() if _bytes(address) == CONTRACT else b"").hex()

    def eth_getBlockByNumber(self, tag: str, full: bool) -> dict[str, Any] | None:
        block = self._at(tag)
        return None if block is None else _header(block, full)

    def eth_feeHistory(self, count: str, tag: str, percentiles: list[int]) -> dict[str, Any]:
        return {"baseFeePerGas": [hex(BASE_FEE)] * 2, "reward": [[hex(self.moods.tip)]]}

    def eth_maxPriorityFeePerGas(self) -> str:
        return hex(self.moods.tip)

    def eth_getBalance(self, address: str, tag: str) -> str:
        return hex(self._state(tag).ledger.balances.get(_bytes(address), 0))

    def eth_getTransactionCount(self, address: str, tag: str) -> str:
        return hex(self._state(tag).nonces.get(_bytes(address), 0))

    def eth_sendRawTransaction(self, raw: str) -> str:
        return "0x" + self._chain.submit(_bytes(raw)).hash.hex()

    def eth_getTransactionByHash(self, tx_hash: str) -> dict[str, Any] | None:
        key = _bytes(tx_hash)
        # A node that lags behind its blocks holds in its pool what they hold.
        known = key in self._chain.pool or key in self._chain.index
        return {"hash": tx_hash} if known else None

    def eth_getTransactionReceipt(self, tx_hash: str) -> dict[str, Any] | None:
        block = self._block_of(_bytes(tx_hash))
        if block is None or self._late(block, self.moods.receipts_late):
            return None
        return _receipt(block, next(m for m in block.mined if m.tx.hash == _bytes(tx_hash)))

    def eth_getBlockReceipts(self, tag: str) -> list[dict[str, Any]] | None:
        block = next((b for b in reversed(self._blocks) if b.hash == _bytes(tag)), None)
        if block is None or self._late(block, self.moods.receipts_late):
            return None
        return [_receipt(block, each) for each in block.mined]

    def eth_estimateGas(self, message: dict[str, str]) -> str:
        self._run(message, self._state("latest"))
        return hex(GAS)

    def eth_call(self, message: dict[str, str], tag: str) -> str:
        return "0x" + self._run(message, self._state(tag)).hex()

    def eth_getLogs(self, query: dict[str, Any]) -> list[dict[str, Any]]:
        blocks = self._blocks
        if "blockHash" in query:
            wanted = _bytes(query["blockHash"])
            chosen = [block for block in blocks[-64:] if block.hash == wanted]
            if not chosen:
                raise Revert("unknown block")
        else:
            first, last = int(query["fromBlock"], 16), int(query["toBlock"], 16)
            if last >= len(blocks):
                raise Revert("block range extends beyond current head block")
            chosen = blocks[first : last + 1]
        topics = query.get("topics", [])
        return [
            log
            for block in chosen
            if block.mined and not self._late(block, self.moods.logs_late)
            for log in _logs(block)
            if all(t is None or log["topics"][i] == t for i, t in enumerate(topics))
        ]

    def _late(self, block: Block, seconds: float) -> bool:
        return trio.current_time() - block.shown < seconds

    def _run(self, message: dict[str, str], block: Block) -> bytes:
        if "to" in message and _bytes(message["to"]) != CONTRACT:
            return b""
        function, args = call_of(_bytes(message["data"]))
        ledger, outputs = block.ledger, list(function.outputs)
        job = ledger.jobs.get(args[0]) if args else None
        match function.name:
            case "jobs":
                return encode(outputs, [NOBODY if job is None else job.view()])
            case "rounds":
                there = job is not None and args[1] < len(job.committed)
                root, count = job.committed[args[1]][:2] if job and there else (bytes(32), 0)
                return encode(outputs, [(root[:30], count)])
            case "paid":
                return encode(outputs, [job.settled(args[1]) if job else 0])
            case _:
                value, sender = int(message["value"], 16), _bytes(message["from"])
                # At the next block's time, as a node estimates.
                now = max(block.timestamp, int(self._chain.head.timestamp))
                ledger.apply(sender, value, now, function.name, args)
                return b""


@functools.cache
def _runtime() -> bytes:
    return interface().runtime


@functools.lru_cache(maxsize=1024)
def _logs(block: Block) -> list[dict[str, Any]]:
    found = []
    for each in block.mined:
        for number, log in enumerate(each.logs):
            topics, data = data_of(log)
            found.append(
                {
                    "address": "0x" + CONTRACT.hex(),
                    "topics": topics,
                    "data": data,
                    "blockNumber": hex(block.number),
                    "blockHash": "0x" + block.hash.hex(),
                    "transactionHash": "0x" + each.tx.hash.hex(),
                    "logIndex": hex(each.first_log + number),
                    "removed": False,
                }
            )
    return found


def _bloom(block: Block) -> bytes:
    bits = 0
    for log in _logs(block) if block.mined else ():
        for item in (CONTRACT, *(bytes.fromhex(topic[2:]) for topic in log["topics"])):
            digest = keccak(item)
            for at in (0, 2, 4):
                bits |= 1 << (int.from_bytes(digest[at : at + 2], "big") % 2048)
    return bits.to_bytes(256, "big")


@functools.lru_cache(maxsize=256)
def _header(block: Block, full: bool) -> dict[str, Any]:
    sent = [
        {"from": "0x" + m.tx.sender.hex(), "nonce": hex(m.tx.nonce), "hash": "0x" + m.tx.hash.hex()}
        for m in block.mined
    ]
    return {
        "number": hex(block.number),
        "hash": "0x" + block.hash.hex(),
        "parentHash": "0x" + block.parent.hex(),
        "timestamp": hex(block.timestamp),
        "baseFeePerGas": hex(BASE_FEE),
        "logsBloom": "0x" + _bloom(block).hex(),
        "transactions": sent if full else [each["hash"] for each in sent],
    }


def _receipt(block: Block, mined: Mined) -> dict[str, Any]:
    shown = "0x" + mined.tx.hash.hex()
    return {
        "transactionHash": shown,
        "blockNumber": hex(block.number),
        "blockHash": "0x" + block.hash.hex(),
        "status": hex(int(mined.ok)),
        "gasUsed": hex(GAS),
        "effectiveGasPrice": hex(min(mined.tx.max_fee, BASE_FEE + mined.tx.tip)),
        "contractAddress": None,
        "logs": [log for log in _logs(block) if log["transactionHash"] == shown],
    }


def _error(code: int, text: str, data: str | None = None) -> dict[str, Any]:
    error: dict[str, Any] = {"code": code, "message": text}
    return {"error": error if data is None else error | {"data": data}}


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text[2:])
