"""Writes tests/vectors/sale.json: run by hand when a format changes, from the repository's root.

Digests by eth_account's typed data, ids by eth_abi, bytes by msgpack; assay is not imported.
"""

from __future__ import annotations

import json
from pathlib import Path

import msgpack
from eth_abi import encode
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils import keccak

TARGET = Path(__file__).parent / "sale.json"

KEYS = {"buyer": b"\x07" * 32, "seller": b"\x09" * 32}


def statement(kind: str, field: str, chain: int, contract: bytes, channel: bytes, n: int) -> dict:
    domain = [
        {"name": "name", "type": "string"},
        {"name": "version", "type": "string"},
        {"name": "chainId", "type": "uint256"},
        {"name": "verifyingContract", "type": "address"},
    ]
    message = encode_typed_data(
        full_message={
            "types": {
                "EIP712Domain": domain,
                kind: [{"name": "channel", "type": "bytes32"}, {"name": field, "type": "uint256"}],
            },
            "primaryType": kind,
            "domain": {
                "name": "assay",
                "version": "1",
                "chainId": chain,
                "verifyingContract": "0x" + contract.hex(),
            },
            "message": {"channel": channel, field: n},
        }
    )
    key = KEYS["buyer" if kind == "Voucher" else "seller"]
    signed = Account.sign_message(message, key)
    digest = keccak(b"\x19" + message.version + message.header + message.body)
    return {
        "kind": kind,
        "chain_id": chain,
        "contract": contract.hex(),
        "amount": str(n),
        "digest": digest.hex(),
        "signature": bytes(signed.signature).hex(),
    }


def blob(byte: int, size: int) -> list:
    return [bytes([byte]) * 32, size]


def main() -> None:
    buyer, seller = (
        bytes.fromhex(Account.from_key(KEYS[who]).address[2:]) for who in ("buyer", "seller")
    )
    token, expiry, salt = b"\x22" * 20, 1_900_000_000, bytes(range(32))
    kinds = ["address", "address", "address", "uint64", "bytes32"]
    addresses = ["0x" + each.hex() for each in (buyer, seller, token)]
    channel = keccak(encode(kinds, [*addresses, expiry, salt]))
    voucher = [(30).to_bytes(32, "big"), b"\x55" * 65]
    messages = [
        ["Asked", channel, 3, blob(1, 295_000), voucher],
        ["Chosen", channel, 3, blob(2, 13_200)],
        ["Replied", channel, 3, "masked", blob(3, 879)],
        ["Paid", channel, voucher],
        ["Receipt", channel, voucher],
        ["Declined", channel, 3, "the channel is closed"],
    ]
    vectors = {
        "terms": {
            "buyer": buyer.hex(),
            "seller": seller.hex(),
            "token": token.hex(),
            "expiry": expiry,
            "salt": salt.hex(),
            "channel": channel.hex(),
        },
        "statements": [
            statement(kind, field, chain, contract, channel, n)
            for kind, field in (("Voucher", "amount"), ("Release", "redeemed"))
            for chain, contract, n in ((1, b"\x33" * 20, 1), (31337, b"\x44" * 20, 2**127 - 1))
        ],
        "messages": [{"name": each[0], "bytes": msgpack.packb(each).hex()} for each in messages],
    }
    TARGET.write_text(json.dumps(vectors, indent=1) + "\n")


if __name__ == "__main__":
    main()
