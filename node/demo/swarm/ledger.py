"""The chain asked directly, past every daemon: balances, and the cost of each transaction.

JSON-RPC over HTTP, as any block explorer would do it; the daemons' own books are held against it.
"""

from __future__ import annotations

import json
import urllib.request
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Final

from contracts import interface
from node.console.failure import Failure
from node.control.codes import Exit

_SECONDS: Final = 30.0

#: Receipts asked for in one request.
_BATCH: Final = 20


@dataclass(frozen=True)
class Gas:
    """What the transactions of one kind used."""

    transactions: int
    gas: int

    @property
    def each(self) -> int:
        """The mean."""
        return self.gas // self.transactions


@dataclass(frozen=True)
class Sent:
    """A mined transaction."""

    sender: str
    kind: str
    value: int
    gas: int
    fee: int
    succeeded: bool


class Ledger:
    """A chain by its URL."""

    def __init__(self, url: str) -> None:
        self._url = url

    def balance(self, account: str) -> int:
        """Wei."""
        return int(self._ask([("eth_getBalance", [account, "latest"])])[0], 16)

    def now(self) -> int:
        """The head's time, Unix seconds."""
        return int(self._ask([("eth_getBlockByNumber", ["latest", False])])[0]["timestamp"], 16)

    def advance(self, seconds: int) -> None:
        """Set the chain's clock ahead: a devnet does that, no other chain."""
        self._ask([("evm_increaseTime", [seconds])])

    def sent(self, contract: str, channels: str = "") -> list[Sent]:
        """Every transaction of the chain, by the function that it calls, of the bounty contract or
        of the channel contract."""
        names = {contract.lower(): _functions("bounty"), channels.lower(): _functions("channel")}
        head = int(self._ask([("eth_blockNumber", [])])[0], 16)
        asked = [("eth_getBlockByNumber", [hex(n), True]) for n in range(head + 1)]
        found = [tx for block in self._batches(asked) for tx in block["transactions"]]
        receipts = self._batches([("eth_getTransactionReceipt", [tx["hash"]]) for tx in found])
        sent = []
        for tx, receipt in zip(found, receipts, strict=True):
            used = int(receipt["gasUsed"], 16)
            sent.append(
                Sent(
                    tx["from"].lower(),
                    _kind(tx, names),
                    int(tx["value"], 16),
                    used,
                    used * int(receipt["effectiveGasPrice"], 16),
                    int(receipt["status"], 16) == 1,
                )
            )
        return sent

    def _batches(self, calls: list[tuple[str, list[Any]]]) -> list[Any]:
        return [
            reply
            for start in range(0, len(calls), _BATCH)
            for reply in self._ask(calls[start : start + _BATCH])
        ]

    def _ask(self, calls: list[tuple[str, list[Any]]]) -> list[Any]:
        body = [
            {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
            for number, (method, params) in enumerate(calls)
        ]
        request = urllib.request.Request(  # noqa: S310 -- our own chain, on loopback
            self._url, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=_SECONDS) as reply:  # noqa: S310
            answers = json.load(reply)
        results = {}
        for answer in answers:
            if "result" not in answer:
                raise Failure(Exit.CHAIN, f"the chain refused a question: {answer.get('error')}")
            results[answer["id"]] = answer["result"]
        return [results[number] for number in range(len(calls))]


def by_kind(sent: list[Sent]) -> dict[str, Gas]:
    """Gas of each kind of transaction, in the order in which the kinds first came."""
    used: dict[str, list[int]] = defaultdict(list)
    for tx in sent:
        used[tx.kind].append(tx.gas)
    return {kind: Gas(len(all_), sum(all_)) for kind, all_ in used.items()}


def _functions(contract: str) -> dict[str, str]:
    """Selector (0x and 8 hex digits) to the name of a contract's function."""
    from eth_utils.abi import function_abi_to_4byte_selector

    return {
        "0x" + function_abi_to_4byte_selector(entry).hex(): entry["name"]  # type: ignore[arg-type]
        for entry in interface(contract).abi
        if entry["type"] == "function"
    }


def _kind(tx: dict[str, Any], names: dict[str, dict[str, str]]) -> str:
    if tx["to"] is None:
        return "deploy"
    functions = names.get(tx["to"].lower())
    return "transfer" if functions is None else functions.get(tx["input"][:10], "unknown")
