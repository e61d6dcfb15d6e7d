"""What calls of the channel contract cost in gas, on a chain in memory (see contract_gas.py).

`python -m scripts.benchmarks.channel_gas` prints tests/contract/channel_gas.json.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any, Final

from eth_hash.auto import keccak
from eth_tester import EthereumTester, PyEVMBackend
from web3 import EthereumTesterProvider, Web3

from contracts.build import FOLDER
from protocol.addresses import to_checksum
from protocol.books.typed_data import Domain
from protocol.sale.vouchers import Terms, release_digest, voucher_digest
from scripts.benchmarks.contract_gas import compiled

#: Bytes that are zero are cheaper: figures are taken at a fixed time and amounts of 8 bytes.
_NOW: Final = 4_000_000_000
_DEPOSIT: Final = 10**18
_PRICE: Final = 123_456_789_012_345


class Meter:
    """A chain with the contract on it; the first account buys, the second sells."""

    def __init__(self, experimental: bool) -> None:
        self.tester = EthereumTester(PyEVMBackend())
        self.w3 = Web3(EthereumTesterProvider(self.tester))
        self.tester.time_travel(_NOW)
        accounts = list(self.w3.eth.accounts)
        self.buyer, self.seller = accounts[0], accounts[1]
        self.keys = dict(zip(accounts, self.tester.backend.account_keys, strict=True))
        artifact = compiled(FOLDER / "channel.vy", experimental)
        factory = self.w3.eth.contract(abi=artifact["abi"], bytecode=artifact["bytecode"])
        receipt = self.w3.eth.get_transaction_receipt(
            factory.constructor().transact({"from": self.buyer, "gas": 8_000_000})
        )
        self.contract = self.w3.eth.contract(receipt["contractAddress"], abi=artifact["abi"])
        self.domain = Domain(self.w3.eth.chain_id, bytes.fromhex(self.contract.address[2:]))

    def send(self, call: Any, sender: str, value: int = 0) -> int:
        """The gas that was used. Raises ValueError if the call reverted."""
        terms = {"from": sender, "value": value, "gas": 2_000_000, "gasPrice": 10**10}
        receipt = self.w3.eth.get_transaction_receipt(call.transact(terms))
        if receipt["status"] != 1:
            raise ValueError(f"{call.fn_name} reverted")
        return int(receipt["gasUsed"])

    def signed(self, digest: bytes, account: str) -> bytes:
        signature = self.keys[account].sign_msg_hash(digest).to_bytes()
        return bytes(signature[:64]) + bytes([27 + signature[64]])

    def terms(self, number: int) -> Terms:
        buyer, seller = bytes.fromhex(self.buyer[2:]), bytes.fromhex(self.seller[2:])
        return Terms(buyer, seller, bytes(20), _NOW + 86_400, keccak(b"channel %d" % number))

    def open(self, terms: Terms) -> int:
        call = self.contract.functions.open(
            self.seller, to_checksum(terms.token), _DEPOSIT, terms.expiry, terms.salt
        )
        return self.send(call, self.buyer, _DEPOSIT)

    def redeem(self, terms: Terms, amount: int) -> int:
        signature = self.signed(voucher_digest(self.domain, terms.channel, amount), self.buyer)
        call = self.contract.functions.redeem(*_listed(terms), amount, signature)
        return self.send(call, self.seller)

    def close(self, terms: Terms, redeemed: int = 0, released: bool = False) -> int:
        digest = release_digest(self.domain, terms.channel, redeemed)
        signature = self.signed(digest, self.seller) if released else b""
        call = self.contract.functions.close(*_listed(terms), redeemed, signature)
        return self.send(call, self.buyer)


@cache
def row(experimental: bool) -> dict[str, int]:
    """Gas by call, in ether, between accounts that hold ether already."""
    meter = Meter(experimental)
    released, expired = meter.terms(1), meter.terms(2)
    found = {"open": meter.open(released)}
    meter.open(expired)
    found["redeem, first"] = meter.redeem(released, _PRICE)
    found["redeem, next"] = meter.redeem(released, 20 * _PRICE)
    found["close, released"] = meter.close(released, 20 * _PRICE, released=True)
    meter.redeem(expired, _PRICE)
    meter.tester.time_travel(expired.expiry)
    found["close, expired"] = meter.close(expired)
    return found


def _listed(terms: Terms) -> tuple[Any, ...]:
    addresses = (to_checksum(each) for each in (terms.buyer, terms.seller, terms.token))
    return *addresses, terms.expiry, terms.salt


if __name__ == "__main__":
    print(json.dumps({"legacy": row(False), "venom": row(True)}, indent=1))
