"""Writes tests/vectors/sale.json: run by hand when a format changes, from the repository's root.

Digests by eth_account's typed data, ids by eth_abi, bytes by msgpack, signatures of peers by
cryptography; assay is not imported.
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import msgpack
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from eth_abi import encode
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils import keccak

TARGET = Path(__file__).parent / "sale.json"

KEYS = {"buyer": b"\x07" * 32, "seller": b"\x09" * 32}
PEERS = {"buyer": b"\x17" * 32, "seller": b"\x19" * 32}
CHAIN, CONTRACT = 31337, b"\x44" * 20
TAG = b"assay/1 sale\0"


def typed(kind: str, fields: list, chain: int, contract: bytes, message: dict, who: str) -> dict:
    """An EIP-712 statement of `who`: its digest and signature."""
    domain = [
        {"name": "name", "type": "string"},
        {"name": "version", "type": "string"},
        {"name": "chainId", "type": "uint256"},
        {"name": "verifyingContract", "type": "address"},
    ]
    made = encode_typed_data(
        full_message={
            "types": {
                "EIP712Domain": domain,
                kind: [{"name": name, "type": of} for name, of in fields],
            },
            "primaryType": kind,
            "domain": {
                "name": "assay",
                "version": "1",
                "chainId": chain,
                "verifyingContract": "0x" + contract.hex(),
            },
            "message": message,
        }
    )
    signed = Account.sign_message(made, KEYS[who])
    digest = keccak(b"\x19" + made.version + made.header + made.body)
    return {"digest": digest.hex(), "signature": bytes(signed.signature).hex()}


def statement(kind: str, field: str, chain: int, contract: bytes, channel: bytes, n: int) -> dict:
    fields = [("channel", "bytes32"), (field, "uint256")]
    who = "buyer" if kind == "Voucher" else "seller"
    return {
        "kind": kind,
        "chain_id": chain,
        "contract": contract.hex(),
        "amount": str(n),
        **typed(kind, fields, chain, contract, {"channel": channel, field: n}, who),
    }


def peer_id(who: str) -> bytes:
    """The identity multihash of a public Ed25519 key (libp2p, 'Peer Ids and Keys')."""
    public = Ed25519PrivateKey.from_private_bytes(PEERS[who]).public_key().public_bytes_raw()
    return bytes.fromhex("002408011220") + public


def word(who: str, said: list, **changes: object) -> bytes:
    """A word's signed bytes; `changes` spoil what is signed, `sign` what signs it."""
    parts = {"version": 1, "chain": CHAIN, "contract": CONTRACT, "sender": peer_id(who)}
    parts |= {name: value for name, value in changes.items() if name in parts}
    told = [*parts.values(), said]
    key = Ed25519PrivateKey.from_private_bytes(PEERS[str(changes.get("sign", who))])
    tag = changes.get("tag", TAG)
    assert isinstance(tag, bytes)
    return msgpack.packb([told, key.sign(tag + msgpack.packb(told))])


def offer(buyer: bytes, **changes: object) -> list:
    fields = {
        "job": b"\x01" * 32,
        "spec_digest": b"\x02" * 32,
        "chain_id": CHAIN,
        "contract": CONTRACT,
        "account": buyer,
        "token": bytes(20),
        "price": (10**14).to_bytes(32, "big"),
        "mode": "label",
        "features": 384,
        "classes": 10,
        "feature_bits": 16,
        "sum_bits": 24,
        "key_bits": 3072,
        "unit": 0.0,
        "accuracy": [0.93],
        "batch": 100,
        "minute": 60,
        "until": 1_900_000_000_000,
    }
    return list((fields | changes).values())


def blob(byte: int, size: int) -> list:
    return [bytes([byte]) * 32, size]


#: Messages that a seller says.
BY_SELLER = ("Replied", "Receipt", "Declined", "Released")


def _many(seller: bytes) -> list:
    return [offer(seller, minute=minute) for minute in range(1, 18)]


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
        ["Leave", channel, voucher],
        ["Released", channel, (30).to_bytes(32, "big"), b"\x56" * 65],
    ]
    sold = offer(seller)
    scores = offer(seller, mode="scores", unit=0.25, accuracy=[])
    until = 1_900_000_000_000
    met = {"offer": sha256(msgpack.packb(sold)).digest(), "key": b"\x61" * 32}
    meeting = typed(
        "Meeting",
        [("channel", "bytes32"), ("offer", "bytes32"), ("key", "bytes32"), ("peer", "bytes")],
        CHAIN,
        CONTRACT,
        {"channel": channel, **met, "peer": peer_id("buyer")},
        "buyer",
    )
    terms = [buyer, seller, token, expiry, salt]
    meet = ["Meet", met["offer"], terms, [met["key"], 1540], bytes.fromhex(meeting["signature"])]
    words = [
        ("buyer", meet),
        ("seller", ["Met", channel, 3]),
        ("seller", ["Later", 2000, True]),
        ("buyer", ["AskOffers", 0]),
        ("seller", ["ToldOffers", 7]),
        ("buyer", ["AskSpec", b"\x02" * 32]),
        ("seller", ["ToldSpec", b"\x02" * 32]),
        ("seller", ["Catalogue", 5, until, [sold, scores]]),
        ("seller", ["Catalogue", 6, until, []]),
        *(("seller" if each[0] in BY_SELLER else "buyer", each) for each in messages),
    ]
    receipt = messages[4]
    refused = [
        ("another version", word("seller", receipt, version=2)),
        ("another chain", word("seller", receipt, chain=1)),
        ("another contract", word("seller", receipt, contract=b"\x45" * 20)),
        ("another's signature", word("seller", receipt, sign="buyer")),
        ("no tag", word("seller", receipt, tag=b"")),
        ("no such word", word("seller", ["Refund", channel, voucher])),
        ("an offer ends later", word("seller", ["Catalogue", 5, until - 1, [sold]])),
        ("one stands twice", word("seller", ["Catalogue", 5, until, [sold, sold]])),
        ("too many offers", word("seller", ["Catalogue", 5, until, _many(seller)])),
        ("a later of an hour", word("seller", ["Later", 3_600_000, False])),
    ]
    part = b"a part"
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
        "offer": {
            "bytes": msgpack.packb(sold).hex(),
            "digest": sha256(msgpack.packb(sold)).hexdigest(),
        },
        "stream": {"chain_id": CHAIN, "contract": CONTRACT.hex()},
        "peers": {who: peer_id(who).hex() for who in PEERS},
        "meeting": {name: each.hex() for name, each in met.items()} | meeting,
        "words": [
            {"name": each[0], "by": who, "bytes": word(who, each).hex()} for who, each in words
        ],
        "refused": [{"why": why, "bytes": each.hex()} for why, each in refused],
        "frame": {
            "part": part.hex(),
            "digest": sha256(part).hexdigest(),
            "bytes": msgpack.packb([word("buyer", meet), part]).hex(),
        },
        "queries": [
            {
                "number": number,
                "name": sha256(
                    b"assay/1 sale query\0" + channel + number.to_bytes(4, "big")
                ).hexdigest(),
            }
            for number in (0, 1, 2**20)
        ],
    }
    TARGET.write_text(json.dumps(vectors, indent=1) + "\n")


if __name__ == "__main__":
    main()
