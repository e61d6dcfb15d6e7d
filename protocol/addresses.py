"""Ethereum addresses: 20 bytes within assay, mixed-case hex where a person reads or writes them.

The checksum is EIP-55's. Pure: Keccak-256 alone.
"""

from __future__ import annotations

from typing import Final

from eth_hash.auto import keccak

from protocol.errors import InputError

ADDRESS_BYTES: Final = 20

#: No key is known for it; the contract takes it as ether where a token is named.
ZERO_ADDRESS: Final = bytes(ADDRESS_BYTES)


def to_checksum(address: bytes) -> str:
    """The address as EIP-55 writes it: 0x and 40 digits. ValueError unless it has 20 bytes."""
    if len(address) != ADDRESS_BYTES:
        raise ValueError(f"an address has {ADDRESS_BYTES} bytes, not {len(address)}")
    digits = address.hex()
    mask = keccak(digits.encode()).hex()
    return "0x" + "".join(
        digit.upper() if int(bit, 16) >= 8 else digit
        for digit, bit in zip(digits, mask, strict=False)
    )


def parse_address(text: str, field: str = "") -> bytes:
    """Reads an address that a person wrote: 0x and 40 hex digits, 20 bytes out.

    Digits of one case carry no checksum; mixed case must carry the right one, so that a mistyped
    payout account is caught before it is paid. Raises InputError, which names `field`.
    """
    digits = text[2:]
    if not text.startswith("0x") or len(digits) != 2 * ADDRESS_BYTES or not _is_hex(digits):
        raise InputError(f"{text[:64]!r} is not an address: 0x and 40 hex digits", field)
    address = bytes.fromhex(digits)
    if digits not in (digits.lower(), digits.upper()) and text != to_checksum(address):
        raise InputError(
            f"{text} has a wrong checksum (EIP-55): copy it again from its source", field
        )
    return address


def _is_hex(digits: str) -> bool:
    return all(digit in "0123456789abcdefABCDEF" for digit in digits)
