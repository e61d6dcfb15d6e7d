"""The contract on revm, another EVM than the devnet's: hundreds of calls a second."""

from __future__ import annotations

import functools
from typing import Any

from eth_abi import encode
from eth_hash.auto import keccak
from eth_keys.datatypes import PrivateKey
from pyrevm import EVM, BlockEnv
from web3 import Web3
from web3._utils.events import get_event_data

from contracts.build import SOURCE
from kits.bounty import MOCKS, Raw, World, compiled, signatures
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


class RevmWorld(World):
    """As `World`, without blocks: the clock stands still until a test sets it."""

    def __init__(self, experimental: bool = False) -> None:
        self.evm = EVM(spec_id="CANCUN")
        self.w3 = Web3()
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
        return self.w3.eth.contract(to_checksum(bytes.fromhex(address[2:])), abi=artifact["abi"])

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
        selector, kinds, fields, whole = self._view(name)
        data = self.run(selector + (encode(kinds, arguments) if kinds else b""))
        words = [data[at : at + 32] for at in range(0, len(data), 32)]
        found = [_value(kind, word) for kind, word in zip(fields, words, strict=True)]
        return tuple(found) if whole else found[0]

    @functools.cache  # noqa: B019 - worlds live as long as the run
    def _view(self, name: str) -> tuple[bytes, list[str], list[str], bool]:
        kinds, [output] = self.inputs[name], self.outputs[name]
        fields = [component["type"] for component in output.get("components", ())]
        selector = keccak(f"{name}({','.join(kinds)})".encode())[:4]
        return selector, kinds, fields or [output["type"]], bool(fields)

    def read(self, contract: Any, name: str, *arguments: Any) -> Any:
        """One number or truth."""
        data = _reading(name, arguments)
        found = self.evm.message_call(self.anybody, contract.address, data, is_static=True)
        return int.from_bytes(found, "big")

    def send(self, call: Any, sender: str | None = None, value: int = 0) -> Any:
        """Raises Refused."""
        try:
            self.evm.message_call(
                sender or self.requester, _target(call, self), data_of(call), value, _GAS
            )
        except RuntimeError as error:
            raise Refused(str(error)) from error
        return Receipt(self.evm.result.logs)

    def event(self, receipt: Any, name: str) -> dict[str, Any]:
        [found] = [e for e in self.bounty.abi if e["type"] == "event" and e["name"] == name]
        own = [log for log in receipt.logs if log.address.lower() == self.bounty.address.lower()]
        topic = _topic(name, tuple(each["type"] for each in found["inputs"]))
        [log] = [log for log in own if _bytes(log.topics[0]) == topic]
        entry = {
            "topics": [_bytes(each) for each in log.topics],
            "data": _bytes(log.data),
            **dict.fromkeys(
                ("logIndex", "transactionIndex", "transactionHash", "blockHash", "blockNumber"), 0
            ),
            "address": self.bounty.address,
        }
        return dict(get_event_data(self.w3.codec, found, entry)["args"])

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


def _target(call: Any, world: RevmWorld) -> str:
    return str(world.bounty.address if isinstance(call, Raw) else call.address)


@functools.cache
def _topic(name: str, kinds: tuple[str, ...]) -> bytes:
    return keccak(f"{name}({','.join(kinds)})".encode())


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return bytes.fromhex(value.removeprefix("0x"))
    return bytes(value[1]) if isinstance(value, tuple) else bytes(value)


def data_of(call: Any) -> bytes:
    """The calldata of a web3 call, or of bytes behind arguments (`Raw`)."""
    ready = getattr(call, "data", None)
    if isinstance(ready, bytes):
        return ready
    return keccak(call.signature.encode())[:4] + encode(_kinds(call.signature), call.arguments)


@functools.cache
def _kinds(signature: str) -> list[str]:
    """The types in `name(type,type)`, tuples whole."""
    inside, depth, found, start = signature[signature.index("(") + 1 : -1], 0, [], 0
    for at, letter in enumerate(inside):
        depth += (letter in "(") - (letter in ")")
        if letter == "," and not depth:
            found.append(inside[start:at])
            start = at + 1
    return [*found, inside[start:]] if inside else []
