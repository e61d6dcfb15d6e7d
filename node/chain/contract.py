"""The contract's ABI through web3's codec: calls to bytes, results and logs to plain values.

Importing this imports web3 (0.8 s): `ChainClient.open` does it in a worker thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eth_abi.exceptions import DecodingError, EncodingError
from eth_utils.abi import function_abi_to_4byte_selector, get_abi_output_types
from eth_utils.address import to_canonical_address
from web3 import Web3
from web3.exceptions import Web3Exception

from contracts import interface
from node.chain.errors import OtherContract
from node.chain.events import EVENTS, ChainEvent
from node.chain.replies import Invalid, RawLog
from node.chain.views import PAY
from protocol.errors import InputError
from protocol.params import MAX_COHORT, MAX_ROUNDS

#: What the contract takes of these fields at most, narrower than their types (contracts/ledger.vy).
_LIMITS = {"round": MAX_ROUNDS, "rounds": MAX_ROUNDS, "count": MAX_COHORT, "cohort": MAX_COHORT}

_PANICS = {
    0x01: "assertion failed",
    0x11: "arithmetic overflow",
    0x12: "division by zero",
    0x32: "index out of bounds",
}


#: The codecs' exceptions for bytes or values that do not fit; they share no base class.
_CODEC_ERRORS = (
    Web3Exception,
    DecodingError,
    EncodingError,
    ValueError,
    TypeError,
    KeyError,
    OverflowError,
)


class Codec:
    """Encodes and decodes for one contract interface; safe for threads, does no I/O."""

    def __init__(self) -> None:
        self._web3 = Web3()
        self._contract = self._web3.eth.contract(abi=list(interface().abi))
        self.runtime = interface().runtime
        calls: list[Any] = [each for each in interface().abi if each["type"] == "function"]
        # Constants aside: what an older contract lacks of them says nothing.
        self._selectors = {
            e["name"]: function_abi_to_4byte_selector(e) for e in calls if not e["name"].isupper()
        }
        events = [_Event(name, self._contract) for name in EVENTS]
        self._events = {event.topic: event for event in events}

    def encode(self, function: str, args: Sequence[Any]) -> bytes:
        """Calldata of a call. Raises InputError for an unknown function or wrong arguments.

        Behind the arguments of `pay` follow its lists as they are: they are its last one here.
        """
        tail = b""
        if function == PAY and args:
            args, tail = args[:-1], args[-1]
        try:
            return bytes.fromhex(self._contract.encode_abi(function, list(args))[2:]) + tail
        except _CODEC_ERRORS as error:
            raise InputError(f"cannot be encoded for the contract: {error}", function) from error

    def decode(self, function: str, data: bytes) -> Any:
        """A call's result: one value, or a tuple of several. Raises Invalid."""
        outputs = self._contract.get_function_by_name(function).abi
        types = get_abi_output_types(outputs)
        try:
            values = self._web3.codec.decode(types, data)
        except _CODEC_ERRORS as error:
            raise Invalid(f"result of {function}: {error}") from error
        plain = tuple(_plain(value, kind) for value, kind in zip(values, types, strict=True))
        return plain[0] if len(plain) == 1 else plain

    def lacks(self, code: bytes) -> list[str]:
        """The contract's functions, its constants aside, whose selectors are nowhere in `code`."""
        return [name for name, selector in self._selectors.items() if selector not in code]

    def other(self, url: str, address: bytes, code: bytes) -> OtherContract:
        """What `code` is that is not the contract's, as far as it shows."""
        lacks = self.lacks(code)
        return OtherContract(url, address, lacks, most=2 * len(lacks) > len(self._selectors))

    def topics(self) -> list[bytes]:
        """The first topic of each event, 32 bytes, in the order of EVENTS."""
        return list(self._events)

    def event(self, log: RawLog) -> ChainEvent:
        """A log's event. Raises Invalid for a log that the contract cannot have written."""
        event = self._events.get(log.topics[0]) if log.topics else None
        if event is None:
            raise Invalid("a log that is none of the contract's events")
        said = event.decode(log)
        for field, most in _LIMITS.items():
            if getattr(said, field, 0) > most:
                raise Invalid(f"{type(said).__name__}.{field} is {getattr(said, field)}")
        return ChainEvent(log.block, log.block_hash, log.index, log.tx_hash, said)

    def reason(self, data: bytes, fallback: str = "") -> str:
        """A revert's reason: Error(string), Panic(uint256), or its bytes."""
        if data[:4] == bytes.fromhex("08c379a0"):
            try:
                return str(self._web3.codec.decode(["string"], data[4:])[0])
            except _CODEC_ERRORS:
                return f"0x{data[:68].hex()}"
        if data[:4] == bytes.fromhex("4e487b71") and len(data) == 36:
            code = int.from_bytes(data[4:], "big")
            return _PANICS.get(code, f"panic {code:#x}")
        if data:
            return f"0x{data[:68].hex()}"
        return fallback or "no reason given"


class _Event:
    """One event's ABI: the order of its arguments, and which are indexed."""

    def __init__(self, name: str, contract: Any) -> None:
        bound = contract.events[name]()
        self._cls = EVENTS[name]
        self._bound = bound
        self._types = {item["name"]: item["type"] for item in bound.abi["inputs"]}
        self.topic = bytes.fromhex(bound.topic.removeprefix("0x"))

    def decode(self, log: RawLog) -> Any:
        try:
            data = self._bound.process_log(
                {
                    "address": Web3.to_checksum_address(log.address),
                    "topics": list(log.topics),
                    "data": log.data,
                    "blockNumber": log.block,
                    "blockHash": log.block_hash,
                    "transactionHash": log.tx_hash,
                    "transactionIndex": 0,
                    "logIndex": log.index,
                }
            )
            values = {k: _plain(v, self._types[k]) for k, v in data["args"].items()}
            return self._cls(**values)
        except _CODEC_ERRORS as error:
            raise Invalid(f"log of {self._cls.__name__}: {error}") from error


def _plain(value: Any, kind: str) -> Any:
    """web3's value as assay's: addresses become bytes, at any depth of tuples and arrays."""
    if kind == "address":
        return bytes(to_canonical_address(value))
    if isinstance(value, list | tuple):
        inner = _inner(kind)
        kinds = inner if isinstance(inner, list) else [inner] * len(value)
        return tuple(_plain(v, k) for v, k in zip(value, kinds, strict=True))
    return bytes(value) if isinstance(value, bytes) else value


def _inner(kind: str) -> str | list[str]:
    """The element type of 'T[..]', or the member types of '(A,B,..)'."""
    if kind.endswith("]"):
        return kind[: kind.rindex("[")]
    out, depth, start = [], 0, 1
    for position, char in enumerate(kind):
        depth += (char == "(") - (char == ")")
        if (char == "," and depth == 1) or (char == ")" and depth == 0):
            out.append(kind[start:position])
            start = position + 1
    return out
