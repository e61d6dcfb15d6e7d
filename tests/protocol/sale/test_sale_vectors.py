"""The vectors of docs/spec/channel.md and sale.md, made without assay."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kits.paths import TESTS

from protocol.books.typed_data import Domain, recover
from protocol.errors import Malformed
from protocol.sale import messages, stream
from protocol.sale.offers import Offer
from protocol.sale.vouchers import (
    Terms,
    Voucher,
    check_release,
    check_voucher,
    release_digest,
    voucher_digest,
)
from protocol.wire.codec import decode, decode_tagged, encode, encode_tagged

VECTORS = json.loads((TESTS / "vectors" / "sale.json").read_text())
KINDS = (
    messages.Asked,
    messages.Chosen,
    messages.Paid,
    messages.Replied,
    messages.Receipt,
    messages.Declined,
    messages.Leave,
    messages.Released,
)


def terms() -> Terms:
    told = VECTORS["terms"]
    addresses = (bytes.fromhex(told[name]) for name in ("buyer", "seller", "token"))
    return Terms(*addresses, expiry=told["expiry"], salt=bytes.fromhex(told["salt"]))


def test_a_channels_id() -> None:
    assert terms().channel.hex() == VECTORS["terms"]["channel"]


@pytest.mark.parametrize("case", VECTORS["statements"])
def test_statements(case: dict[str, Any]) -> None:
    domain = Domain(case["chain_id"], bytes.fromhex(case["contract"]))
    amount, signature = int(case["amount"]), bytes.fromhex(case["signature"])
    of_voucher = case["kind"] == "Voucher"
    digest = (voucher_digest if of_voucher else release_digest)(domain, terms().channel, amount)
    assert digest.hex() == case["digest"]
    assert recover(digest, signature) == (terms().buyer if of_voucher else terms().seller)
    if of_voucher:
        check_voucher(domain, terms(), Voucher(amount, signature), amount)
        with pytest.raises(Malformed, match="not signed by the channel's seller"):
            check_release(domain, terms(), amount, signature)
    else:
        check_release(domain, terms(), amount, signature)
        with pytest.raises(Malformed, match="not signed by the channel's seller"):
            check_release(domain, terms(), amount - 1, signature)
        with pytest.raises(Malformed, match="not signed by the channel's buyer"):
            check_voucher(domain, terms(), Voucher(amount, signature), amount)


@pytest.mark.parametrize("case", VECTORS["messages"], ids=lambda case: case["name"])
def test_messages(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["bytes"])
    message = decode_tagged(KINDS, data, messages.MAX_SALE_MESSAGE_BYTES)
    assert type(message).__name__ == case["name"]
    assert encode_tagged(message) == data
    for bad in (data[:-1], data + b"\0", data.replace(b"Asked", b"Asken"), b"\xc1"):
        if bad != data:
            with pytest.raises(Malformed):
                decode_tagged(KINDS, bad, messages.MAX_SALE_MESSAGE_BYTES)


#: Why a word is refused, and a piece of what is said of it.
REFUSALS = {
    "another version": "a word of version 2",
    "another chain": "a word about chain 1,",
    "another contract": "a word about chain 31337, contract 0x45",
    "another's signature": "not its sender's",
    "no tag": "not its sender's",
    "no such word": "Refund",
    "an offer ends later": "an offer ends later",
    "one stands twice": "one stands twice",
    "too many offers": "length 17, allowed 0 to 16",
    "a later of an hour": "3600000 is outside 0 to 600000",
}


def where() -> Domain:
    told = VECTORS["stream"]
    return Domain(told["chain_id"], bytes.fromhex(told["contract"]))


def test_an_offers_bytes_and_id() -> None:
    data = bytes.fromhex(VECTORS["offer"]["bytes"])
    offer = decode(Offer, data, 1024)
    assert encode(offer) == data
    assert offer.digest.hex() == VECTORS["offer"]["digest"]


@pytest.mark.parametrize("case", VECTORS["words"], ids=lambda case: case["name"])
def test_words(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["bytes"])
    said = stream.read_word(where(), data)
    assert type(said.word).__name__ == case["name"]
    assert said.sender.hex() == VECTORS["peers"][case["by"]]
    assert encode(decode(stream.Signed, data, stream.MAX_WORD_BYTES)) == data
    # Every bit is either signed or the signature.
    for at in range(len(data)):
        spoiled = bytearray(data)
        spoiled[at] ^= 1
        with pytest.raises(Malformed):
            stream.read_word(where(), bytes(spoiled))


@pytest.mark.parametrize("case", VECTORS["refused"], ids=lambda case: case["why"])
def test_words_that_are_refused(case: dict[str, Any]) -> None:
    with pytest.raises(Malformed, match=REFUSALS[case["why"]]):
        stream.read_word(where(), bytes.fromhex(case["bytes"]))


def test_all_words_of_the_stream_have_a_vector() -> None:
    wanted = {each.__name__ for each in stream.Word.__args__}  # type: ignore[attr-defined]
    assert {case["name"] for case in VECTORS["words"]} == wanted
    assert {case["why"] for case in VECTORS["refused"]} == set(REFUSALS)


def test_a_meeting() -> None:
    told, peers = VECTORS["meeting"], VECTORS["peers"]
    offer, key = bytes.fromhex(told["offer"]), bytes.fromhex(told["key"])
    peer = bytes.fromhex(peers["buyer"])
    digest = stream.meeting_digest(where(), terms().channel, offer, key, peer)
    assert digest.hex() == told["digest"]
    signature = bytes.fromhex(told["signature"])
    meet = stream.Meet(offer, terms(), messages.Blob(key, 1540), signature)
    stream.check_meet(where(), meet, peer)
    with pytest.raises(Malformed, match="for this peer and key"):
        stream.check_meet(where(), meet, bytes.fromhex(peers["seller"]))


def test_a_frame_and_its_part() -> None:
    told = VECTORS["frame"]
    data, part = bytes.fromhex(told["bytes"]), bytes.fromhex(told["part"])
    frame = decode(stream.SaleFrame, data, stream.MAX_SALE_FRAME_BYTES)
    assert (encode(frame), frame.part) == (data, part)
    assert type(stream.read_word(where(), frame.word).word) is stream.Meet
    assert stream.blob_of(part) == messages.Blob(bytes.fromhex(told["digest"]), len(part))


@pytest.mark.parametrize("case", VECTORS["queries"], ids=lambda case: str(case["number"]))
def test_a_querys_name(case: dict[str, Any]) -> None:
    assert stream.maker(terms().channel, case["number"]).hex() == case["name"]
