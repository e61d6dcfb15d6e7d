"""A chain with the channel contract on it, and what buyer and seller say to it."""

from __future__ import annotations

from typing import Any

from eth_abi import decode
from eth_keys import keys

from contracts.build import FOLDER
from kits.bounty import ETHER, HOUR, World, compiled
from protocol.addresses import to_checksum
from protocol.books.typed_data import Domain
from protocol.sale.vouchers import Terms, release_digest, voucher_digest

SOURCE = FOLDER / "channel.vy"
NOBODY = bytes(20)


class Channels(World):
    """World, with channels on it; its first three accounts are a buyer, a seller and anybody."""

    def __init__(self, experimental: bool = False) -> None:
        super().__init__(experimental)
        self.bounty = self.deploy(compiled(SOURCE, experimental))
        self.contract = self.bounty
        self.domain = Domain(self.w3.eth.chain_id, bytes.fromhex(self.contract.address[2:]))
        self.buyer, self.seller = self.requester, self.other

    def terms(self, salt: int = 0, **changes: Any) -> Terms:  # type: ignore[override]
        fields: dict[str, Any] = {
            "buyer": bytes.fromhex(self.buyer[2:]),
            "seller": bytes.fromhex(self.seller[2:]),
            "token": NOBODY,
            "expiry": self.now + 24 * HOUR,
            "salt": salt.to_bytes(32, "big"),
        }
        return Terms(**(fields | changes))

    def opening(self, terms: Terms, deposit: int) -> Any:
        address = to_checksum(terms.seller), to_checksum(terms.token)
        return self.contract.functions.open(*address, deposit, terms.expiry, terms.salt)

    def open(self, deposit: int, salt: int = 0, **changes: Any) -> Terms:
        terms = self.terms(salt, **changes)
        value = deposit if terms.token == NOBODY else 0
        self.send(self.opening(terms, deposit), to_checksum(terms.buyer), value)
        return terms

    def signed(self, digest: bytes, account: str) -> bytes:
        key: keys.PrivateKey = self.keys[self.accounts.index(account)]
        signature = key.sign_msg_hash(digest).to_bytes()
        return bytes(signature[:64]) + bytes([27 + signature[64]])

    def voucher(self, terms: Terms, amount: int, signer: str | None = None) -> bytes:
        digest = voucher_digest(self.domain, terms.channel, amount)
        return self.signed(digest, signer or self.buyer)

    def redeeming(self, terms: Terms, amount: int, signature: bytes | None = None) -> Any:
        signature = self.voucher(terms, amount) if signature is None else signature
        return self.contract.functions.redeem(*listed(terms), amount, signature)

    def released(self, terms: Terms, redeemed: int, signer: str | None = None) -> bytes:
        digest = release_digest(self.domain, terms.channel, redeemed)
        return self.signed(digest, signer or self.seller)

    def closing(self, terms: Terms, redeemed: int = 0, signature: bytes = b"") -> Any:
        return self.contract.functions.close(*listed(terms), redeemed, signature)

    def word(self, terms: Terms) -> tuple[int, int, bool]:
        """Deposit, redeemed, closed; without the web3 layers that take most of the time."""
        data = bytes.fromhex(self.contract.encode_abi("channels", [terms.channel])[2:])
        sender = bytes.fromhex(self.anybody[2:])
        call = {"from": sender, "to": self.domain.contract, "value": 0, "data": data}
        found = self.tester.backend.call(call)
        deposit, redeemed, closed = decode(["uint256", "uint256", "bool"], found)
        return deposit, redeemed, closed


def listed(terms: Terms) -> tuple[Any, ...]:
    """Terms as the contract's functions take them."""
    addresses = (to_checksum(each) for each in (terms.buyer, terms.seller, terms.token))
    return *addresses, terms.expiry, terms.salt


__all__ = ("ETHER", "HOUR", "NOBODY", "Channels", "listed")
