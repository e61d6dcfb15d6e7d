"""Channels and vouchers: EIP-712 statements that contracts/channel.vy pays by.

A channel's id covers all of its terms. A voucher grants an amount *since the channel opened*; the
next one grants more. A release is the seller's word that nothing above an amount is to be redeemed.
Nothing here signs: keys live in node/. docs/spec/channel.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Final

from eth_hash.auto import keccak

from protocol.books.typed_data import Domain, recover
from protocol.errors import Malformed
from protocol.wire.codec import Amount, Range, Size, Wire
from protocol.wire.messages import Address, Digest

#: The contract's MAX_DEPOSIT and MAX_SECONDS.
MAX_DEPOSIT: Final = (1 << 127) - 1
MAX_CHANNEL_SECONDS: Final = 366 * 86400

_VOUCHER_TYPE: Final = keccak(b"Voucher(bytes32 channel,uint256 amount)")
_RELEASE_TYPE: Final = keccak(b"Release(bytes32 channel,uint256 redeemed)")

#: 65 bytes r, s, v; empty where no voucher was signed yet.
VoucherSignature = Annotated[bytes, Size(0, 65)]


@dataclass(frozen=True, slots=True)
class Terms(Wire):
    """What a channel is opened on. `token` is 20 zeros for ether; `expiry` is in seconds."""

    buyer: Address
    seller: Address
    token: Address
    expiry: Annotated[int, Range(0, 2**64 - 1)]
    salt: Digest

    @property
    def channel(self) -> bytes:
        """The channel's id, as the contract computes it."""
        return _channel(self)


@dataclass(frozen=True, slots=True)
class Voucher(Wire):
    """An amount that the buyer grants in all, and its signature; 0 and empty for none."""

    amount: Amount
    signature: VoucherSignature


NO_VOUCHER: Final = Voucher(0, b"")


def voucher_digest(domain: Domain, channel: bytes, amount: int) -> bytes:
    """The 32 bytes that a buyer signs to grant `amount` in all."""
    return _digest(domain, _VOUCHER_TYPE, channel, amount)


def release_digest(domain: Domain, channel: bytes, redeemed: int) -> bytes:
    """The 32 bytes that a seller signs: the buyer may close once `redeemed` is redeemed."""
    return _digest(domain, _RELEASE_TYPE, channel, redeemed)


def check_voucher(domain: Domain, terms: Terms, voucher: Voucher, deposit: int) -> None:
    """Raises Malformed unless the contract would pay `voucher` out of `deposit`: another amount,
    signer, channel, contract or chain."""
    if not 0 < voucher.amount <= deposit:
        raise Malformed(f"a voucher grants {voucher.amount}, the deposit is {deposit}")
    digest = voucher_digest(domain, terms.channel, voucher.amount)
    if recover(digest, voucher.signature) != terms.buyer:
        raise Malformed(
            "a voucher is not signed by the channel's buyer for this channel, contract and chain"
        )


def check_release(domain: Domain, terms: Terms, redeemed: int, signature: bytes) -> None:
    """Raises Malformed unless the contract would close on the seller's release: another amount,
    signer, channel, contract or chain."""
    if recover(release_digest(domain, terms.channel, redeemed), signature) != terms.seller:
        raise Malformed(
            "a release is not signed by the channel's seller for this channel, contract and chain"
        )


@lru_cache(maxsize=1024)
def _channel(terms: Terms) -> bytes:
    """Every step of a channel asks for its id."""
    fields = (
        terms.buyer.rjust(32, b"\0"),
        terms.seller.rjust(32, b"\0"),
        terms.token.rjust(32, b"\0"),
        terms.expiry.to_bytes(32, "big"),
        terms.salt,
    )
    return keccak(b"".join(fields))


def _digest(domain: Domain, kind: bytes, channel: bytes, amount: int) -> bytes:
    message = keccak(kind + channel + amount.to_bytes(32, "big"))
    return keccak(b"\x19\x01" + domain.separator + message)
