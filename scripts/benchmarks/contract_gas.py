"""What calls of the bounty contract cost in gas, on a chain in memory.

The chain is py-evm by eth-tester's newest rules (Prague: EIP-7623's floor for calldata counts). Gas
is what the receipt says, and the same on every machine. Accounts that are paid hold ether already;
one that never did costs 25,000 more, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

from eth_hash.auto import keccak
from eth_tester import EthereumTester, PyEVMBackend
from web3 import EthereumTesterProvider, Web3
from web3.types import TxParams, Wei

from contracts.build import SOURCE, compile_contract
from protocol.addresses import to_checksum
from protocol.books.evidence import RoundClaim, encode_payments
from protocol.books.trees import IndexTree, Merit, SumTree, contribution_detail, contribution_leaf
from protocol.books.typed_data import Commitment, Domain, commitment_digest
from protocol.books.whole import encode_whole
from protocol.params import MAX_CLAIM_ROUNDS, MAX_WHOLE_ACCOUNTS

#: Cohorts that figures are taken at.
SMALLEST: Final = 10
LARGEST: Final = 4096

#: When it is on the chain: bytes that are zero are cheaper, so that the time of day would show.
_NOW = 4_000_000_000
_RATE, _MERIT = 10**15, 10**17
_ROSTER, _BATCH = keccak(b"roster"), keccak(b"batch")
_NOTHING: tuple[int, int, list[Any]] = (0, 0, [])


@cache
def compiled(source: Path, experimental: bool) -> dict[str, Any]:
    """The contract's artifact, by one of Vyper's code generators."""
    return compile_contract(source, experimental=experimental)


def owner(number: int) -> bytes:
    """The account of one owner."""
    return keccak(b"owner %d" % number)[:20]


@cache
def tree(count: int) -> IndexTree:
    """A round in which owners 0 to count - 1 contributed."""
    leaves = [contribution_leaf(owner(n), 0, _ROSTER, _BATCH) for n in range(count)]
    return IndexTree(leaves)


class Meter:
    """A chain with the contract on it. Methods that send return the gas that was used."""

    def __init__(self, experimental: bool = False) -> None:
        self.tester = EthereumTester(PyEVMBackend())
        self.w3 = Web3(EthereumTesterProvider(self.tester))
        self.tester.time_travel(_NOW)
        self.key = self.tester.backend.account_keys[0]
        self.sender = self.w3.eth.accounts[0]
        artifact = compiled(SOURCE, experimental)
        factory = self.w3.eth.contract(abi=artifact["abi"], bytecode=artifact["bytecode"])
        receipt = self.w3.eth.get_transaction_receipt(
            factory.constructor().transact({"from": self.sender, "gas": 8_000_000})
        )
        self.bounty = self.w3.eth.contract(receipt["contractAddress"], abi=artifact["abi"])
        self.domain = Domain(self.w3.eth.chain_id, bytes.fromhex(self.bounty.address[2:]))
        self._specs = 0

    def send(self, call: Any, value: int = 0) -> int:
        """Raises ValueError if the call reverted: its gas would mean nothing."""
        terms = {"from": self.sender, "value": value, "gas": 12_000_000, "gasPrice": 10**10}
        receipt = self.w3.eth.get_transaction_receipt(call.transact(terms))
        if receipt["status"] != 1:
            raise ValueError(f"{call.fn_name} reverted")
        return int(receipt["gasUsed"])

    def fund(self, account: bytes) -> None:
        """Give an account its first wei."""
        terms: TxParams = {
            "from": self.sender,
            "to": to_checksum(account),
            "value": Wei(1),
            "gas": 21_000,
            "gasPrice": Wei(10**10),
        }
        self.w3.eth.send_transaction(terms)

    def post(self, rounds: int, cohort: int, merit: int = _MERIT) -> tuple[bytes, int]:
        """A job that pays in ether, with merit; and the gas."""
        self._specs += 1
        spec = keccak(b"spec %d" % self._specs)
        terms = (spec, "0x" + "00" * 20, rounds, cohort, _RATE, merit, _NOW + 10**6)
        value = rounds * cohort * _RATE + merit
        gas = self.send(self.bounty.functions.post(*terms), value)
        return bytes(self.bounty.functions.job_id(self.sender, spec).call()), gas

    def enrol(self, job: bytes, count: int) -> int:
        """The first enrolment root."""
        return self.send(self.bounty.functions.enrol(job, keccak(b"enrolled"), count))

    def commit(self, job: bytes, number: int, count: int, *, signed: bool = False) -> int:
        """A round to which the first `count` owners contributed; `signed` as others bring it."""
        until = _NOW + 3000
        model = keccak(b"model %d" % number)
        word = Commitment(job, number, tree(count).root, count, model, until)
        signature = b""
        if signed:
            told = self.key.sign_msg_hash(commitment_digest(self.domain, word)).to_bytes()
            signature = told[:64] + bytes([27 + told[64]])
        call = self.bounty.functions.commit(job, number, word.root, count, model, until, signature)
        return self.send(call)

    def finish(self, job: bytes, merit: SumTree) -> int:
        """The end of a job, with merit."""
        digests = keccak(b"model"), keccak(b"evidence"), merit.root.hash
        return self.send(self.bounty.functions.finish(job, *digests, merit.root.total))

    def claim(
        self, job: bytes, position: int, rounds: int, count: int, merit: Any = _NOTHING
    ) -> int:
        """One owner's claim of the first `rounds` rounds, `count` contributions each."""
        proof = tree(count).proof(position)
        proofs = [
            RoundClaim(number, position, 0, _ROSTER, _BATCH, proof) for number in range(rounds)
        ]
        account = owner(position)
        self.fund(account)
        call = self.bounty.functions.claim(
            job, to_checksum(account), encode_payments(proofs), merit
        )
        return self.send(call)

    def pay(
        self, job: bytes, rounds: int, count: int, merit: Sequence[Merit] = (), first: int = 0
    ) -> int:
        """One payment of whole rounds, `count` contributions each."""
        detail = contribution_detail(0, _ROSTER, _BATCH)
        listed = [(owner(n), detail) for n in range(count)]
        call = encode_whole(first, [listed] * rounds, merit)
        for account, _ in listed:
            self.fund(account)
        numbers = [call.first, call.rounds, call.accounts, call.merits]
        data = bytes.fromhex(self.bounty.encode_abi("pay", [job, *numbers])[2:]) + call.lists
        terms: TxParams = {
            "from": self.sender,
            "to": self.bounty.address,
            "data": data,
            "gas": 12_000_000,
            "gasPrice": Wei(10**10),
        }
        receipt = self.w3.eth.get_transaction_receipt(self.w3.eth.send_transaction(terms))
        if receipt["status"] != 1:
            raise ValueError("pay reverted")
        return int(receipt["gasUsed"])

    def withdraw(self, job: bytes) -> int:
        """What lies above the liabilities."""
        return self.send(self.bounty.functions.withdraw(job))


def calls(count: int, experimental: bool = False) -> dict[str, int]:
    """Gas of calls in a job of `count` owners, by the call; claims are the last owners'."""
    meter = Meter(experimental)
    job, post = meter.post(MAX_CLAIM_ROUNDS, count)
    gas = {"post, ether": post, "enrol, first": meter.enrol(job, count)}
    last = MAX_CLAIM_ROUNDS - 1
    rounds = [meter.commit(job, number, count) for number in range(last)]
    gas["commit, first"], gas["commit, next"] = rounds[0], max(rounds[1:])
    gas["commit, by its signature"] = meter.commit(job, last, count, signed=True)
    for place, number in enumerate((1, 20, MAX_CLAIM_ROUNDS), start=1):
        name = f"claim, {number} round{'s'[: number - 1]}"
        gas[name] = meter.claim(job, count - place, number, count)
    return gas


def whole_job(
    experimental: bool = False, owners: int = 5, rounds: int = 10, *, whole: bool = True
) -> dict[str, int]:
    """Gas of all calls of a job, by call, `post` to the last pay; all owners have merit. They are
    paid in whole rounds, or by claims."""
    meter = Meter(experimental)
    job, post = meter.post(rounds, owners)
    gas = {"post": post, "enrol": meter.enrol(job, owners)}
    gas["commit"] = sum(meter.commit(job, number, owners) for number in range(rounds))
    entries = [Merit(owner(n), _MERIT // owners) for n in range(owners)]
    merit = SumTree(entries)
    gas["finish"] = meter.finish(job, merit)
    if whole:
        return gas | {"pay": meter.pay(job, rounds, owners, entries)}
    gas["claim"] = sum(
        meter.claim(
            job,
            n,
            rounds,
            owners,
            (n, entries[n].amount, [(node.hash, node.total) for node in merit.proof(n)]),
        )
        for n in range(owners)
    )
    return gas


def whole_rounds(experimental: bool = False) -> dict[str, int]:
    """Gas of `pay` where it is largest: many accounts, many rounds."""
    meter = Meter(experimental)
    job, _ = meter.post(MAX_CLAIM_ROUNDS, MAX_WHOLE_ACCOUNTS, 0)
    for number in range(9):
        meter.commit(job, number, MAX_WHOLE_ACCOUNTS)
    gas = {"pay, 1 round, 256 owners": meter.pay(job, 1, MAX_WHOLE_ACCOUNTS)}
    gas["pay, 8 rounds, 256 owners"] = meter.pay(job, 8, MAX_WHOLE_ACCOUNTS, first=1)
    return gas


def row(experimental: bool) -> dict[str, int]:
    """All that the table holds of one code generator, by call."""
    found = {}
    for count in (SMALLEST, LARGEST):
        for call, gas in calls(count, experimental).items():
            found[f"{call}, {count} owners"] = gas
    found |= whole_rounds(experimental)
    found |= {f"all of a job: {c}": n for c, n in whole_job(experimental).items()}
    claims = whole_job(experimental, whole=False)["claim"]
    return found | {"all of a job: claim, instead of pay": claims}


def main() -> None:
    """Writes the table: `python -m scripts.benchmarks.contract_gas > tests/contract/gas.json`."""
    import json

    print(json.dumps({"legacy": row(False), "venom": row(True)}, indent=1))


if __name__ == "__main__":
    main()
