"""The contract on revm, another EVM than the devnet's: hundreds of calls a second."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from eth_abi import decode, encode
from eth_hash.auto import keccak
from eth_keys.datatypes import PrivateKey
from pyrevm import EVM, BlockEnv

from contracts.build import SOURCE
from kits.bounty import MOCKS, World, compiled, signatures
from protocol.addresses import to_checksum
from protocol.books.typed_data import Domain

_START = 4_000_000_000
_GAS = 12_000_000


class Refused(Exception):
    """A call reverted."""


class Receipt:
    """What a call that went through logged."""

    def __init__(self, logs: list[Any]) -> None:
        self.logs = logs


@dataclass(frozen=True)
class Call:
    """A contract's function with its arguments."""

    address: str
    data: bytes

    def _encode_transaction_data(self) -> str:
        return "0x" + self.data.hex()


class Contract:
    """As much of web3's contract as the tests use; building one call of web3's takes longer than
    the EVM needs to run it."""

    def __init__(self, address: str, abi: Any) -> None:
        self.address, self.abi = address, abi
        self.functions = Functions(address, _functions(abi))

    def encode_abi(self, name: str, arguments: Any) -> str:
        call: Call = getattr(self.functions, name)(*arguments)
        return call._encode_transaction_data()


class Functions:
    """Each function by its name."""

    def __init__(self, address: str, known: dict[str, tuple[bytes, list[str]]]) -> None:
        self._address, self._known = address, known

    def __getattr__(self, name: str) -> Any:
        selector, kinds = self._known[name]
        return lambda *arguments: Call(self._address, selector + encode(kinds, arguments))


def _functions(abi: Any) -> dict[str, tuple[bytes, list[str]]]:
    """Each function's selector and the types that it takes."""
    key = id(abi)
    if key not in _KNOWN:
        found = {}
        for each in (entry for entry in abi if entry["type"] == "function"):
            kinds = [_kind(argument) for argument in each["inputs"]]
            selector = keccak(f"{each['name']}({','.join(kinds)})".encode())[:4]
            found[each["name"]] = selector, kinds
        # The interface is kept too, so that no other has its number.
        _KNOWN[key] = abi, found
    return _KNOWN[key][1]


_KNOWN: dict[int, tuple[Any, dict[str, tuple[bytes, list[str]]]]] = {}


def _kind(argument: Any) -> str:
    """An argument's type as signatures have it, tuples whole."""
    kind: str = argument["type"]
    if not kind.startswith("tuple"):
        return kind
    fields = ",".join(_kind(each) for each in argument["components"])
    return f"({fields}){kind.removeprefix('tuple')}"


class RevmWorld(World):
    """As `World`, without blocks: the clock stands still until a test sets it."""

    def __init__(self, experimental: bool = False) -> None:
        self.evm = EVM(spec_id="CANCUN")
        # The devnet's, so that contracts have the same addresses.
        self.keys = [PrivateKey((n + 1).to_bytes(32, "big")) for n in range(4)]
        self.accounts = [key.public_key.to_checksum_address() for key in self.keys]
        for account in self.accounts:
            self.evm.set_balance(account, 10**30)
        self.requester, self.other, self.anybody = self.accounts[:3]
        self._now = _START
        self.travel(_START)
        self.bounty = self.deploy(compiled(SOURCE, experimental))
        self.inputs, self.outputs = signatures(self.bounty.abi)
        # revm's chain, unless told otherwise.
        self.domain = Domain(1, bytes.fromhex(self.bounty.address[2:]))
        assert self.view("domain_separator") == self.domain.separator

    def deploy(self, artifact: dict[str, Any]) -> Any:
        code = bytes.fromhex(artifact["bytecode"][2:])
        address = self.evm.deploy(self.requester, code)
        return Contract(to_checksum(bytes.fromhex(address[2:])), artifact["abi"])

    def mock(self, name: str) -> Any:
        return self.deploy(compiled(MOCKS / f"{name}.vy"))

    @property
    def now(self) -> int:
        return self._now

    def travel(self, timestamp: int) -> None:
        self._now = timestamp
        self.evm.set_block_env(BlockEnv(timestamp=timestamp))

    def snapshot(self) -> Any:
        """Nothing: a world is thrown away after use."""

    def revert(self, snapshot: Any) -> None:
        """Nothing."""

    def settle(self) -> None:
        """Nothing: there are no blocks."""

    def view(self, name: str, *arguments: Any) -> Any:
        """As `World.view`, word by word: all that these views return is of a fixed size."""
        fields, whole = self._view(name)
        data = self.run(self._viewing(name, arguments))
        words = [data[at : at + 32] for at in range(0, len(data), 32)]
        found = [_value(kind, word) for kind, word in zip(fields, words, strict=True)]
        return tuple(found) if whole else found[0]

    @functools.cache  # noqa: B019 - worlds live as long as the run
    def _view(self, name: str) -> tuple[list[str], bool]:
        [output] = self.outputs[name]
        fields = [component["type"] for component in output.get("components", ())]
        return fields or [output["type"]], bool(fields)

    @functools.lru_cache(maxsize=256)  # noqa: B019 - as above
    def _viewing(self, name: str, arguments: tuple[Any, ...]) -> bytes:
        call: Call = getattr(self.bounty.functions, name)(*arguments)
        return call.data

    def read(self, contract: Any, name: str, *arguments: Any) -> Any:
        """One number or truth."""
        data = _reading(name, arguments)
        found = self.evm.message_call(self.anybody, contract.address, data, is_static=True)
        return int.from_bytes(found, "big")

    def send(self, call: Any, sender: str | None = None, value: int = 0) -> Any:
        """Raises Refused."""
        # `Raw` is always the bounty's.
        to = call.address if isinstance(call, Call) else self.bounty.address
        try:
            self.evm.message_call(sender or self.requester, to, call.data, value, _GAS)
        except RuntimeError as error:
            raise Refused(str(error)) from error
        return Receipt(self.evm.result.logs)

    def event(self, receipt: Any, name: str) -> dict[str, Any]:
        topic, topics, inside = _event(self.bounty.abi, name)
        own = [log for log in receipt.logs if log.address.lower() == self.bounty.address.lower()]
        [log] = [log for log in own if _bytes(log.topics[0]) == topic]
        told = dict(zip(inside, decode(list(inside.values()), _bytes(log.data)), strict=True))
        for (field, kind), word in zip(topics.items(), log.topics[1:], strict=True):
            told[field] = _value(kind, _bytes(word))
        return told

    def ether(self, account: bytes | str) -> int:
        address = account if isinstance(account, str) else "0x" + account.hex()
        return int(self.evm.get_balance(address))

    def run(self, data: bytes) -> bytes:
        return bytes(self.evm.message_call(self.anybody, self.bounty.address, data, is_static=True))


def _value(kind: str, word: bytes) -> Any:
    if kind.startswith("uint") or kind == "bool":
        return int.from_bytes(word, "big")
    return word[-20:] if kind == "address" else word


@functools.cache
def _reading(name: str, arguments: tuple[str, ...]) -> bytes:
    kinds = ["address"] * len(arguments)
    return keccak(f"{name}({','.join(kinds)})".encode())[:4] + encode(kinds, arguments)


def _event(abi: Any, name: str) -> tuple[bytes, dict[str, str], dict[str, str]]:
    """An event's topic, and its fields with their types: those that are topics, and the others."""
    key = id(abi), name
    if key not in _EVENTS:
        [found] = [e for e in abi if e["type"] == "event" and e["name"] == name]
        kinds = ",".join(each["type"] for each in found["inputs"])
        parts: tuple[dict[str, str], dict[str, str]] = {}, {}
        for each in found["inputs"]:
            parts[not each["indexed"]][each["name"]] = each["type"]
        _EVENTS[key] = keccak(f"{name}({kinds})".encode()), *parts
    return _EVENTS[key]


_EVENTS: dict[tuple[int, str], tuple[bytes, dict[str, str], dict[str, str]]] = {}


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return bytes.fromhex(value.removeprefix("0x"))
    return bytes(value[1]) if isinstance(value, tuple) else bytes(value)
