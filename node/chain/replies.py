"""JSON-RPC results, parsed strictly: a chain node is somebody else's program."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

#: Topics of one log (EVM), and bytes of its data: the contract's largest event has 12 words.
MAX_TOPICS: Final = 4
MAX_LOG_DATA: Final = 4096
#: Of a header's logsBloom: 2,048 bits (Ethereum's yellow paper, 4.3.1).
BLOOM_BYTES: Final = 256


class Invalid(ValueError):
    """A result that breaks the method's promise; the text says which field and why."""


@dataclass(frozen=True, slots=True)
class Head:
    """A block's header. `base_fee` is in wei per gas, zero before EIP-1559.

    `bloom` has 256 bytes, or none where the node gives none.
    """

    number: int
    hash: bytes
    parent: bytes
    timestamp: int
    base_fee: int
    bloom: bytes = b""


@dataclass(frozen=True, slots=True)
class Receipt:
    """A mined transaction; `contract` is the address that it created, if it did."""

    tx_hash: bytes
    block: int
    block_hash: bytes
    ok: bool
    gas_used: int
    gas_price: int
    contract: bytes | None


@dataclass(frozen=True, slots=True)
class RawLog:
    """A log before its event is decoded."""

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes
    block: int
    block_hash: bytes
    tx_hash: bytes
    index: int


def quantity(value: Any, field: str = "result") -> int:
    """A hex quantity below 2^256."""
    if isinstance(value, str) and value.startswith("0x") and 3 <= len(value) <= 66:
        try:
            return int(value[2:], 16)
        except ValueError:
            pass
    raise Invalid(f"{field} is no hex quantity")


def whole(value: Any, field: str) -> int:
    """A number of blocks, seconds, gas or logs: below 2^63, which is what is stored of it."""
    number = quantity(value, field)
    if number >> 63:
        raise Invalid(f"{field} is {number:#x}")
    return number


def octets(value: Any, field: str = "result", size: int | None = None) -> bytes:
    """Hex bytes, exactly `size` of them if given."""
    if isinstance(value, str) and value.startswith("0x"):
        try:
            data = bytes.fromhex(value[2:])
        except ValueError:
            data = None
        if data is not None and (size is None or len(data) == size):
            return data
    raise Invalid(f"{field} is not {'some' if size is None else size} bytes in hex")


def _fields(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Invalid(f"{what} is no object")
    return value


def head(value: Any) -> Head:
    fields = _fields(value, "block")
    bloom = fields.get("logsBloom")
    return Head(
        number=whole(fields.get("number"), "number"),
        hash=octets(fields.get("hash"), "hash", 32),
        parent=octets(fields.get("parentHash"), "parentHash", 32),
        timestamp=whole(fields.get("timestamp"), "timestamp"),
        base_fee=quantity(fields.get("baseFeePerGas", "0x0"), "baseFeePerGas"),
        bloom=b"" if bloom is None else octets(bloom, "logsBloom", BLOOM_BYTES),
    )


def sent_in(value: Any, number: int, account: bytes, nonce: int) -> bytes | None:
    """The hash of an account's transaction of one nonce, of a chain block with its transactions.

    Others' transactions are of kinds that we need not know; only ours is read strictly.
    """
    if value is None:
        return None
    found = _fields(value, "block")
    sent = found.get("transactions")
    if quantity(found.get("number"), "number") != number or not isinstance(sent, list):
        raise Invalid(f"block {number} is another one, or has no transactions")
    for each in sent:
        fields = _fields(each, "transaction")
        if octets(fields.get("from"), "from", 20) != account:
            continue
        if quantity(fields.get("nonce"), "nonce") == nonce:
            return octets(fields.get("hash"), "hash", 32)
    return None


def receipt(value: Any, tx_hash: bytes) -> Receipt:
    fields = _fields(value, "receipt")
    if octets(fields.get("transactionHash"), "transactionHash", 32) != tx_hash:
        raise Invalid("receipt is another transaction's")
    status = quantity(fields.get("status"), "status")
    if status > 1:
        raise Invalid(f"status is {status}")
    created = fields.get("contractAddress")
    return Receipt(
        tx_hash=tx_hash,
        block=whole(fields.get("blockNumber"), "blockNumber"),
        block_hash=octets(fields.get("blockHash"), "blockHash", 32),
        ok=status == 1,
        gas_used=whole(fields.get("gasUsed"), "gasUsed"),
        gas_price=quantity(fields.get("effectiveGasPrice", "0x0"), "effectiveGasPrice"),
        contract=None if created is None else octets(created, "contractAddress", 20),
    )


def logs(value: Any, address: bytes, limit: int) -> list[RawLog]:
    """Logs in the chain's order, all of `address`, at most `limit` of them, none removed."""
    if not isinstance(value, list):
        raise Invalid("logs are no array")
    if len(value) > limit:
        raise Invalid(f"{len(value)} logs, at most {limit} were expected")
    out = [_log(item) for item in value]
    if any(item.address != address for item in out):
        raise Invalid("a log of another contract")
    places = [(item.block, item.index) for item in out]
    if sorted(set(places)) != places:
        raise Invalid("logs are out of order or given twice")
    return out


def _log(value: Any) -> RawLog:
    fields = _fields(value, "log")
    topics = fields.get("topics")
    if not isinstance(topics, list) or len(topics) > MAX_TOPICS:
        raise Invalid("topics")
    data = fields.get("data")
    if not isinstance(data, str) or len(data) > 2 + 2 * MAX_LOG_DATA:
        raise Invalid("data of a log")
    if fields.get("removed", False) is not False:
        raise Invalid("a removed log")
    return RawLog(
        address=octets(fields.get("address"), "address", 20),
        topics=tuple(octets(topic, "topic", 32) for topic in topics),
        data=octets(data, "data"),
        block=whole(fields.get("blockNumber"), "blockNumber"),
        block_hash=octets(fields.get("blockHash"), "blockHash", 32),
        tx_hash=octets(fields.get("transactionHash"), "transactionHash", 32),
        index=whole(fields.get("logIndex"), "logIndex"),
    )


def logged(value: Any, address: str) -> bool:
    """Whether a block's receipts show a log of `address` (hex); a block without any is doubted."""
    if not isinstance(value, list) or not value:
        raise Invalid("receipts are no array, or none")
    logs: list[Any] = [_fields(each, "receipt").get("logs") for each in value]
    if not all(isinstance(each, list) for each in logs):
        raise Invalid("logs of a receipt are no array")
    return any(
        str(_fields(log, "log").get("address")).lower() == address for of in logs for log in of
    )


def may_hold(bloom: bytes, address: bytes, topics: Iterable[bytes]) -> bool:
    """Whether a block with that logsBloom may hold a log of `address` whose first topic is one of
    `topics`, whatever an index of logs says.

    False is certain. True is wrong for about one full block in fifty.
    """
    return _has(bloom, address) and any(_has(bloom, topic) for topic in topics)


def _has(bloom: bytes, item: bytes) -> bool:
    from eth_utils.crypto import keccak

    digest, bits = keccak(item), int.from_bytes(bloom, "big")
    return all(
        bits >> (int.from_bytes(digest[at : at + 2], "big") % (8 * BLOOM_BYTES)) & 1
        for at in (0, 2, 4)
    )
