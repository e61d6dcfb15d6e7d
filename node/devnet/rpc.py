"""JSON-RPC on the ledger: parameters in, JSON out. Ethereum's execution-apis, what assay needs.

Every parameter is checked before use; an error carries geth's codes, so that a client written for
a real node meets nothing new here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from node.devnet.ledger import SUGGESTED_TIP, Ledger
from node.devnet.params import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    LIMIT_EXCEEDED,
    NO_METHOD,
    PARSE_ERROR,
    REVERTED,
    SERVER_ERROR,
    RpcError,
    address,
    call,
    digest,
    full,
    matches,
    octets,
    quantity,
    topics,
)
from node.devnet.records import ZERO_ADDRESS, LedgerError, MinedBlock, Reverted
from node.devnet.render import (
    block_json,
    data_hex,
    event_json,
    mined_json,
    receipt_json,
    waiting_json,
)

#: Calls in one batch.
MAX_BATCH: Final = 20

#: Objects and arrays in one body. py-evm raises Python's recursion limit so far that the JSON
#: parser would overflow its stack on deep nesting before it meets the limit, and take us with it.
MAX_BRACKETS: Final = 4_096

#: Blocks and logs of one eth_getLogs, blocks of one eth_feeHistory.
MAX_LOG_BLOCKS: Final = 10_000
MAX_LOGS: Final = 10_000
MAX_FEE_BLOCKS: Final = 1_024


class Dispatcher:
    """Answers request bodies. Safe for threads, as the ledger is."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._methods: dict[str, Callable[[list[Any]], Any]] = {
            "web3_clientVersion": lambda _: "assay-devnet/py-evm",
            "net_version": lambda _: str(ledger.chain_id),
            "net_listening": lambda _: True,
            "eth_syncing": lambda _: False,
            "eth_chainId": lambda _: hex(ledger.chain_id),
            "eth_accounts": lambda _: [data_hex(ledger.faucet)],
            "eth_blockNumber": lambda _: hex(ledger.head.number),
            "eth_gasPrice": lambda _: hex(ledger.base_fee() + SUGGESTED_TIP),
            "eth_maxPriorityFeePerGas": lambda _: hex(SUGGESTED_TIP),
            "eth_feeHistory": self._fee_history,
            "eth_getBlockByNumber": self._block_by_number,
            "eth_getBlockByHash": self._block_by_hash,
            "eth_getBalance": lambda p: hex(ledger.balance(address(p, 0), self._at(p, 1))),
            "eth_getCode": lambda p: data_hex(ledger.code(address(p, 0), self._at(p, 1))),
            "eth_getStorageAt": self._storage,
            "eth_getTransactionCount": self._transaction_count,
            "eth_getTransactionByHash": self._transaction,
            "eth_getTransactionReceipt": self._receipt,
            "eth_getLogs": self._logs,
            "eth_call": lambda p: data_hex(ledger.call(call(p), self._at(p, 1))),
            "eth_estimateGas": lambda p: hex(ledger.estimate(call(p), self._at(p, 1))),
            "eth_sendRawTransaction": lambda p: data_hex(ledger.submit(octets(p, 0))),
            "eth_sendTransaction": self._send,
            "evm_mine": self._mine,
            "evm_increaseTime": self._increase_time,
            "assay_fund": self._fund,
            "assay_rewind": self._rewind,
        }

    def answer(self, body: bytes) -> bytes:
        """The reply to one request body, a single call or a batch. Never raises for its content."""
        if body.count(b"[") + body.count(b"{") > MAX_BRACKETS:
            return _encode(_failure(None, RpcError(PARSE_ERROR, "the body is nested too deeply")))
        try:
            request = json.loads(body)
        except (ValueError, RecursionError):
            return _encode(_failure(None, RpcError(PARSE_ERROR, "the body is not JSON")))
        if not isinstance(request, list):
            return _encode(self._one(request))
        if not 1 <= len(request) <= MAX_BATCH:
            error = RpcError(INVALID_REQUEST, f"a batch holds 1 to {MAX_BATCH} calls")
            return _encode(_failure(None, error))
        return _encode([self._one(item) for item in request])

    def _one(self, request: Any) -> dict[str, Any]:
        if not isinstance(request, dict):
            return _failure(None, RpcError(INVALID_REQUEST, "a request is an object"))
        ident = request.get("id")
        if not isinstance(ident, str | int | float | None):
            return _failure(None, RpcError(INVALID_REQUEST, "id: a string or a number"))
        try:
            method, params = request.get("method"), request.get("params", [])
            if not isinstance(method, str) or not isinstance(params, list):
                raise RpcError(INVALID_REQUEST, "method: a string; params: an array")
            handler = self._methods.get(method)
            if handler is None:
                raise RpcError(NO_METHOD, f"the method {method[:64]} does not exist")
            return {"jsonrpc": "2.0", "id": ident, "result": handler(params)}
        except RpcError as error:
            return _failure(ident, error)
        except Reverted as error:
            text = _reason(error.data)
            message = f"execution reverted: {text}" if text else "execution reverted"
            return _failure(ident, RpcError(REVERTED, message, data_hex(error.data)))
        except LedgerError as error:
            return _failure(ident, RpcError(SERVER_ERROR, str(error)))

    # --- blocks and fees --------------------------------------------------------------------

    def _at(self, params: list[Any], position: int) -> MinedBlock:
        """The block of a tag, number or EIP-1898 object; 'latest' if absent."""
        tag = params[position] if len(params) > position else "latest"
        block = self._find(tag)
        if block is None:
            raise RpcError(SERVER_ERROR, "header not found")
        return block

    def _find(self, tag: Any) -> MinedBlock | None:
        if isinstance(tag, dict):
            if "blockHash" in tag:
                return self._ledger.block_by_hash(digest([tag["blockHash"]], 0))
            tag = tag.get("blockNumber")
        if tag in ("latest", "pending", "safe", "finalized"):
            return self._ledger.head
        if tag == "earliest":
            return self._ledger.block(0)
        return self._ledger.block(quantity(tag, "block"))

    def _block_by_number(self, params: list[Any]) -> Any:
        block = self._find(params[0] if params else None)
        return None if block is None else block_json(self._ledger.chain_id, block, full(params))

    def _block_by_hash(self, params: list[Any]) -> Any:
        block = self._ledger.block_by_hash(digest(params, 0))
        return None if block is None else block_json(self._ledger.chain_id, block, full(params))

    def _fee_history(self, params: list[Any]) -> Any:
        count = quantity(params[0] if params else None, "blockCount")
        if not 1 <= count <= MAX_FEE_BLOCKS:
            raise RpcError(INVALID_PARAMS, f"blockCount: 1 to {MAX_FEE_BLOCKS}")
        newest = self._at(params, 1)
        percentiles = params[2] if len(params) > 2 and params[2] else []
        if not isinstance(percentiles, list) or len(percentiles) > 100:
            raise RpcError(INVALID_PARAMS, "rewardPercentiles: an array of at most 100")
        numbers = range(max(0, newest.number - count + 1), newest.number + 1)
        blocks = [block for n in numbers if (block := self._ledger.block(n)) is not None]
        following = self._ledger.block(newest.number + 1)
        last_fee = self._ledger.base_fee() if following is None else following.base_fee
        return {
            "oldestBlock": hex(numbers.start),
            "baseFeePerGas": [hex(b.base_fee) for b in blocks] + [hex(last_fee)],
            "gasUsedRatio": [b.header.gas_used / b.header.gas_limit for b in blocks],
            "reward": [[hex(SUGGESTED_TIP)] * len(percentiles) for _ in blocks],
        }

    # --- state ------------------------------------------------------------------------------

    def _storage(self, params: list[Any]) -> str:
        slot = quantity(params[1] if len(params) > 1 else None, "slot")
        word = self._ledger.storage(address(params, 0), slot, self._at(params, 2))
        return data_hex(word.to_bytes(32, "big"))

    def _transaction_count(self, params: list[Any]) -> str:
        account = address(params, 0)
        if len(params) > 1 and params[1] == "pending":
            return hex(self._ledger.pending_nonce(account))
        return hex(self._ledger.nonce(account, self._at(params, 1)))

    # --- transactions and logs --------------------------------------------------------------

    def _transaction(self, params: list[Any]) -> Any:
        tx_hash = digest(params, 0)
        mined = self._ledger.mined(tx_hash)
        if mined is not None:
            return mined_json(self._ledger.chain_id, mined)
        waiting = self._ledger.waiting(tx_hash)
        return None if waiting is None else waiting_json(self._ledger.chain_id, waiting)

    def _receipt(self, params: list[Any]) -> Any:
        mined = self._ledger.mined(digest(params, 0))
        return None if mined is None else receipt_json(mined)

    def _logs(self, params: list[Any]) -> Any:
        query = params[0] if params else None
        if not isinstance(query, dict):
            raise RpcError(INVALID_PARAMS, "filter: an object")
        addresses = query.get("address")
        if addresses is not None:
            given = addresses if isinstance(addresses, list) else [addresses]
            addresses = {address([item], 0) for item in given[:100]}
        wanted = topics(query.get("topics"))
        if "blockHash" in query:
            block = self._ledger.block_by_hash(digest([query["blockHash"]], 0))
            if block is None:
                raise RpcError(SERVER_ERROR, "unknown block")
            blocks = [block]
        else:
            first = self._bound(query.get("fromBlock", "latest"))
            last = min(self._bound(query.get("toBlock", "latest")), self._ledger.head.number)
            if last - first >= MAX_LOG_BLOCKS:
                raise RpcError(LIMIT_EXCEEDED, f"at most {MAX_LOG_BLOCKS} blocks a query")
            blocks = self._ledger.event_blocks(first, last)
        found: list[dict[str, Any]] = []
        for event in (e for b in blocks for t in b.transactions for e in t.events):
            if addresses is not None and event.address not in addresses:
                continue
            if matches(event.topics, wanted):
                if len(found) == MAX_LOGS:
                    raise RpcError(LIMIT_EXCEEDED, f"query returned more than {MAX_LOGS} results")
                found.append(event_json(event))
        return found

    def _bound(self, tag: Any) -> int:
        """A range's end may lie past the head; a name means a block that is there."""
        if isinstance(tag, str) and tag.startswith("0x"):
            return quantity(tag, "block")
        block = self._find(tag)
        return 0 if block is None else block.number

    def _send(self, params: list[Any]) -> str:
        message = call(params)
        if message.sender not in (self._ledger.faucet, ZERO_ADDRESS):
            raise RpcError(SERVER_ERROR, "unknown account: only the faucet is unlocked here")
        gas = None if params[0].get("gas") is None else message.gas
        return data_hex(self._ledger.pay(message.to, message.value, message.data, gas))

    def _fund(self, params: list[Any]) -> str:
        """[address, wei]: ether from the faucet; the transaction's hash."""
        wei = quantity(params[1] if len(params) > 1 else None, "wei")
        return data_hex(self._ledger.pay(address(params, 0), wei, b"", 21_000))

    def _mine(self, _: list[Any]) -> str:
        return hex(self._ledger.mine().number)

    def _increase_time(self, params: list[Any]) -> int:
        """[seconds]: how far ahead of the wall's the clock is then; a number, as anvil's is."""
        return self._ledger.clock.advance(quantity(params[0] if params else None, "seconds"))

    def _rewind(self, params: list[Any]) -> str:
        """[number, keep]: drop the blocks above a number; keep their transactions, or lose them."""
        number = quantity(params[0] if params else None, "number")
        self._ledger.rewind(number, keep=len(params) < 2 or params[1] is True)
        return hex(self._ledger.head.number)


def _encode(reply: Any) -> bytes:
    return json.dumps(reply, separators=(",", ":")).encode()


def _failure(ident: Any, error: RpcError) -> dict[str, Any]:
    body: dict[str, Any] = {"code": error.code, "message": str(error)}
    if error.data is not None:
        body["data"] = error.data
    return {"jsonrpc": "2.0", "id": ident, "error": body}


def _reason(data: bytes) -> str:
    """The text of Error(string), as geth appends it to the message; empty for anything else."""
    if data[:4] != b"\x08\xc3\x79\xa0" or len(data) < 68:
        return ""
    size = int.from_bytes(data[36:68], "big")
    return data[68 : 68 + size].decode(errors="replace") if size <= len(data) - 68 else ""
