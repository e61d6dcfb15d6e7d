"""A chain with the contract on it, and the two sides of a job as tests speak of them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from eth_abi import decode, encode
from eth_hash.auto import keccak
from eth_tester import EthereumTester, PyEVMBackend
from eth_tester.exceptions import TransactionFailed
from web3 import EthereumTesterProvider, Web3

from contracts.build import SOURCE, compile_contract
from kits.paths import TESTS
from protocol.addresses import to_checksum
from protocol.books.trees import IndexTree, Merit, SumTree, contribution_detail, contribution_leaf
from protocol.books.typed_data import Commitment, Domain, commitment_digest
from protocol.books.whole import WholePay, encode_whole

MOCKS = TESTS / "contract" / "mocks"
ETHER = "0x" + "00" * 20
HOUR = 3600
#: What a revert of Vyper's own checks (overflow, missing code, failed call) says.
UNNAMED = "execution reverted: b''"
NOTHING: tuple[int, int, list[Any]] = (0, 0, [])


@functools.cache
def compiled(source: Path, experimental: bool = False) -> dict[str, Any]:
    return compile_contract(source, experimental=experimental)


def owner(number: int) -> bytes:
    """An account without a key or a history: what it holds, the contract paid it."""
    return keccak(b"owner %d" % number)[:20]


@dataclass(frozen=True)
class Contribution:
    account: bytes
    block: int = 0
    roster: bytes = bytes([7]) * 32
    digest: bytes = bytes([8]) * 32

    @property
    def leaf(self) -> bytes:
        return contribution_leaf(self.account, self.block, self.roster, self.digest)


@dataclass
class Book:
    """What one round's commitment listed."""

    round: int
    contributions: list[Contribution]
    tree: IndexTree = field(init=False)

    def __post_init__(self) -> None:
        self.tree = IndexTree([contribution.leaf for contribution in self.contributions])

    def payment(self, position: int) -> tuple[Any, ...]:
        listed = self.contributions[position]
        proof = self.tree.proof(position)
        return self.round, position, listed.block, listed.roster, listed.digest, proof

    def payment_of(self, account: bytes) -> tuple[Any, ...]:
        return self.payment([listed.account for listed in self.contributions].index(account))


def packed(payments: Sequence[tuple[Any, ...]]) -> bytes:
    """Payments as `claim` takes them, without the encoder's own limits."""
    return b"".join(
        number.to_bytes(1, "big")
        + position.to_bytes(2, "big")
        + contribution_detail(block, roster, digest)
        + b"".join(proof)
        for number, position, block, roster, digest, proof in payments
    )


def book(round_number: int, *accounts: bytes) -> Book:
    return Book(round_number, [Contribution(account) for account in accounts])


def merit_claim(tree: SumTree, entries: list[Merit], account: bytes) -> tuple[Any, ...]:
    position = [entry.account for entry in entries].index(account)
    proof = [(node.hash, node.total) for node in tree.proof(position)]
    return position, entries[position].amount, proof


class Raw:
    """A call with bytes behind its arguments, as `send` and `refused` take calls."""

    def __init__(self, world: World, name: str, arguments: list[Any], tail: bytes) -> None:
        self.fn_name, self._world = name, world
        self.data = bytes.fromhex(world.bounty.encode_abi(name, arguments)[2:]) + tail

    def transact(self, terms: dict[str, Any]) -> Any:
        return self._world.w3.eth.send_transaction(self._message(terms))

    def call(self, terms: dict[str, Any]) -> Any:
        return self._world.w3.eth.call(self._message(terms))

    def _message(self, terms: dict[str, Any]) -> Any:
        return {**terms, "to": self._world.bounty.address, "data": self.data}


def signatures(abi: Any) -> tuple[dict[str, list[str]], dict[str, Any]]:
    """Of functions: the types that they take, none of them a tuple but `claim`'s, and outputs."""
    functions = [entry for entry in abi if entry["type"] == "function"]
    inputs = {entry["name"]: [each["type"] for each in entry["inputs"]] for entry in functions}
    return inputs, {entry["name"]: entry["outputs"] for entry in functions}


class World:
    """One chain in memory, its clock in the test's hand."""

    def __init__(self, experimental: bool = False) -> None:
        self.tester = EthereumTester(PyEVMBackend())
        self.w3 = Web3(EthereumTesterProvider(self.tester))
        self.keys = self.tester.backend.account_keys
        self.accounts = self.w3.eth.accounts
        self.requester, self.other, self.anybody = self.accounts[:3]
        self.bounty = self.deploy(compiled(SOURCE, experimental))
        self.inputs, self.outputs = signatures(self.bounty.abi)
        self.domain = Domain(self.w3.eth.chain_id, bytes.fromhex(self.bounty.address[2:]))

    def deploy(self, artifact: dict[str, Any]) -> Any:
        factory = self.w3.eth.contract(abi=artifact["abi"], bytecode=artifact["bytecode"])
        return self.w3.eth.contract(
            self.send(factory.constructor()).contractAddress, abi=artifact["abi"]
        )

    def mock(self, name: str) -> Any:
        return self.deploy(compiled(MOCKS / f"{name}.vy"))

    @property
    def now(self) -> int:
        """The timestamp that the next transaction sees."""
        return int(self.tester.backend.chain.header.timestamp)

    def snapshot(self) -> Any:
        return self.tester.take_snapshot()

    def revert(self, snapshot: Any) -> None:
        self.tester.revert_to_snapshot(snapshot)

    def settle(self) -> None:
        """Views see the last block: mine one that has the next transaction's time."""
        self.tester.mine_blocks(1)

    def read(self, contract: Any, name: str, *arguments: Any) -> Any:
        """A view of another contract."""
        return contract.functions[name](*arguments).call()

    def travel(self, timestamp: int) -> None:
        self.tester.time_travel(timestamp)

    def send(self, call: Any, sender: str | None = None, value: int = 0) -> Any:
        terms = {"from": sender or self.requester, "value": value, "gas": 12_000_000}
        receipt = self.w3.eth.get_transaction_receipt(call.transact(terms | {"gasPrice": 10**10}))
        assert receipt.status == 1
        return receipt

    def refused(self, call: Any, reason: str, sender: str | None = None, value: int = 0) -> None:
        """Asserts that a transaction sent now would revert, and say so."""
        # A call runs at the last block's timestamp: mine one that has the next transaction's.
        self.tester.mine_blocks(1)
        with pytest.raises(TransactionFailed, match=reason):
            call.call({"from": sender or self.requester, "value": value, "gas": 12_000_000})

    def event(self, receipt: Any, name: str) -> dict[str, Any]:
        [event] = self.bounty.events[name]().process_receipt(receipt)
        return dict(event.args)

    def ether(self, account: bytes | str) -> int:
        address = bytes.fromhex(account[2:]) if isinstance(account, str) else account
        return int(self.tester.backend.get_balance(address))

    def view(self, name: str, *arguments: Any) -> Any:
        """A view's value at the last block, without the web3 layers that take most of the time.

        Structs come as a tuple of their fields.
        """
        [output] = self.outputs[name]
        fields = [component["type"] for component in output.get("components", ())]
        kind = f"({','.join(fields)})" if fields else output["type"]
        kinds = self.inputs[name]
        selector = keccak(f"{name}({','.join(kinds)})".encode())[:4]
        data = selector + encode(kinds, arguments)
        [value] = decode([kind], self.run(data))
        return value

    def run(self, data: bytes) -> bytes:
        """What a call of the contract returns at the last block."""
        sender, to = bytes.fromhex(self.anybody[2:]), bytes.fromhex(self.bounty.address[2:])
        call = {"from": sender, "to": to, "value": 0, "data": data}
        return bytes(self.tester.backend.call(call))

    def terms(self, spec: bytes = bytes(32), **changes: Any) -> dict[str, Any]:
        defaults: dict[str, Any] = {
            "spec": spec,
            "token": ETHER,
            "rounds": 3,
            "cohort": 4,
            "rate": 100,
            "merit": 1000,
            "expiry": self.now + 24 * HOUR,
        }
        return defaults | changes

    def posting(self, terms: dict[str, Any]) -> Any:
        return self.bounty.functions.post(*terms.values())

    def post(self, spec: bytes = bytes(32), sender: str | None = None, **changes: Any) -> bytes:
        """Posts a job that pays in ether unless told otherwise. Returns its id."""
        terms = self.terms(spec, **changes)
        escrow = terms["rounds"] * terms["cohort"] * terms["rate"] + terms["merit"]
        receipt = self.send(self.posting(terms), sender, escrow if terms["token"] == ETHER else 0)
        return bytes(self.event(receipt, "Posted")["job"])

    def sign(self, commitment: Commitment, sender: str | None = None) -> bytes:
        key = self.keys[self.accounts.index(sender or self.requester)]
        signature = key.sign_msg_hash(commitment_digest(self.domain, commitment)).to_bytes()
        return bytes(signature[:64]) + bytes([27 + signature[64]])

    def commitment(self, job: bytes, listed: Book, **changes: Any) -> Commitment:
        fields: dict[str, Any] = {
            "job": job,
            "round": listed.round,
            "root": listed.tree.root,
            "count": listed.tree.count,
            "model_digest": bytes([listed.round + 1]) * 32,
            "valid_until": self.now + 600,
        }
        return Commitment(**(fields | changes))

    def committing(self, commitment: Commitment, signature: bytes) -> Any:
        return self.bounty.functions.commit(
            commitment.job,
            commitment.round,
            commitment.root,
            commitment.count,
            commitment.model_digest,
            commitment.valid_until,
            signature,
        )

    def commit(self, job: bytes, listed: Book, signer: str | None = None, **changes: Any) -> Any:
        """Signs a round's commitment as the requester, and submits it as anybody."""
        commitment = self.commitment(job, listed, **changes)
        return self.send(self.committing(commitment, self.sign(commitment, signer)), self.anybody)

    def finishing(self, job: bytes, tree: SumTree) -> Any:
        return self.bounty.functions.finish(
            job, bytes([9]) * 32, bytes([10]) * 32, tree.root.hash, tree.root.total
        )

    def claiming(
        self, job: bytes, account: bytes | str, payments: list[Any], merit: Any = NOTHING
    ) -> Any:
        address = to_checksum(account) if isinstance(account, bytes) else account
        return self.bounty.functions.claim(job, address, packed(payments), merit)

    def claim(
        self, job: bytes, account: bytes | str, payments: list[Any], merit: Any = NOTHING
    ) -> dict[str, Any]:
        receipt = self.send(self.claiming(job, account, payments, merit), self.anybody)
        return self.event(receipt, "Claimed")

    def paying(
        self, job: bytes, books: Sequence[Book], merit: Sequence[Merit] = (), first: int = 0
    ) -> Raw:
        """`pay` of whole rounds, by the product's encoder."""
        rounds = [
            [
                (each.account, contribution_detail(each.block, each.roster, each.digest))
                for each in listed.contributions
            ]
            for listed in books
        ]
        return self.paying_lists(job, encode_whole(first, rounds, merit))

    def paying_lists(self, job: bytes, call: WholePay, **changes: int) -> Raw:
        call = replace(call, **changes)
        numbers = [call.first, call.rounds, call.accounts, call.merits]
        return Raw(self, "pay", [job, *numbers], call.lists)

    def pay(
        self, job: bytes, books: Sequence[Book], merit: Sequence[Merit] = (), first: int = 0
    ) -> dict[bytes, tuple[int, int]]:
        """Pays whole rounds as anybody: each account's round bits and amount, by the event."""
        receipt = self.send(self.paying(job, books, merit, first), self.anybody)
        event = self.event(receipt, "Paid")
        assert (event["first"], event["rounds"]) == (first, len(books))
        return self.paid_by(job, event)

    def paid_by(self, job: bytes, event: dict[str, Any]) -> dict[bytes, tuple[int, int]]:
        """Each account's round bits and amount, as `Paid` says them."""
        words, rate = event["payments"], self.job(job)["rate"]
        each = 2 if event["merit"] else 1
        merits = words[1::2] if event["merit"] else [0] * len(words)
        found = {}
        for word, merit in zip(words[::each], merits, strict=True):
            bits = word & (2**96 - 1)
            account = (word >> 96).to_bytes(20, "big")
            found[account] = bits << event["first"], rate * bits.bit_count() + merit
        return found

    def job(self, job: bytes) -> dict[str, Any]:
        names = [component["name"] for component in self.outputs["jobs"][0]["components"]]
        return dict(zip(names, self.view("jobs", job), strict=True))

    def liabilities(self, job: bytes) -> tuple[int, int, int]:
        """Rate owed, merit owed, reserve, as the next transaction would find them."""
        self.tester.mine_blocks(1)
        rate, merit, reserve = self.view("liabilities", job)
        return rate, merit, reserve

    def surplus(self, job: bytes) -> int:
        self.settle()
        return int(self.view("surplus", job))

    def withdraw(self, job: bytes, sender: str | None = None) -> int:
        receipt = self.send(self.bounty.functions.withdraw(job), sender)
        return int(self.event(receipt, "Withdrawn")["amount"])
