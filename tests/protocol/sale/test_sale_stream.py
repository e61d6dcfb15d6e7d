"""Words of the stream: every one travels whole, and no other bytes are one."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from kits.books import CHAIN_ID, CONTRACT, Person

from protocol import params
from protocol.books.typed_data import Domain
from protocol.errors import Malformed
from protocol.layout.queries import Mode
from protocol.sale import limits, stream
from protocol.sale.catalogues import Catalogue
from protocol.sale.messages import (
    Asked,
    Blob,
    Chosen,
    Declined,
    Leave,
    Paid,
    Part,
    Receipt,
    Released,
    Replied,
)
from protocol.sale.offers import Offer
from protocol.sale.vouchers import MAX_DEPOSIT, Terms, Voucher
from protocol.wire.codec import decode, encode

DOMAIN = Domain(CHAIN_ID, CONTRACT)
BUYER, SELLER = Person(1), Person(2)

digests = st.binary(min_size=32, max_size=32)
addresses = st.binary(min_size=20, max_size=20)
numbers = st.integers(0, params.MAX_SALE_QUERIES)
blobs = st.builds(Blob, digests, st.integers(1, params.MAX_QUERY_BYTES))
amounts = st.integers(0, 2**256 - 1)
vouchers = st.builds(Voucher, amounts, st.binary(max_size=65))
terms = st.builds(Terms, addresses, addresses, addresses, st.integers(0, 2**64 - 1), digests)
marks = st.integers(0, 2**63 - 1)
reasons = st.text(min_size=1, max_size=params.MAX_REASON_BYTES // 4)
times = st.integers(0, 2**53)


@st.composite
def offers(draw: st.DrawFn) -> Offer:
    mode = draw(st.sampled_from(Mode))
    labels = mode is Mode.LABEL
    return Offer(
        job=draw(digests),
        spec_digest=draw(digests),
        chain_id=draw(st.integers(1, 2**64 - 1)),
        contract=draw(addresses),
        account=draw(addresses),
        token=draw(addresses),
        price=draw(st.integers(1, MAX_DEPOSIT)),
        mode=mode,
        features=draw(st.integers(1, params.MAX_SEALED_FEATURES)),
        classes=draw(st.integers(2 if labels else 1, params.MAX_QUERY_CLASSES)),
        feature_bits=16,
        sum_bits=24,
        key_bits=draw(st.sampled_from(params.KEY_BITS)),
        unit=0.0 if labels else draw(st.floats(1e-300, 1e300)),
        accuracy=tuple(draw(st.lists(st.floats(0, 1), max_size=1))),
        batch=draw(st.integers(1, params.MAX_OFFER_BATCH)),
        minute=draw(st.integers(1, params.MAX_OFFER_MINUTE)),
        until=draw(times),
    )


@st.composite
def catalogues(draw: st.DrawFn) -> Catalogue:
    sold = draw(st.lists(offers(), max_size=3, unique_by=lambda each: each.digest))
    latest = max([each.until for each in sold], default=0)
    return Catalogue(draw(marks), draw(st.integers(latest, 2**53)), tuple(sold))


words = st.one_of(
    st.builds(Asked, digests, numbers, blobs, vouchers),
    st.builds(Chosen, digests, numbers, blobs),
    st.builds(Paid, digests, vouchers),
    st.builds(Replied, digests, numbers, st.sampled_from(Part), blobs),
    st.builds(Receipt, digests, vouchers),
    st.builds(Declined, digests, numbers, reasons),
    st.builds(Leave, digests, vouchers),
    st.builds(Released, digests, amounts, st.binary(min_size=65, max_size=65)),
    st.builds(stream.Meet, digests, terms, blobs, st.binary(min_size=65, max_size=65)),
    st.builds(stream.Met, digests, numbers),
    st.builds(stream.Later, st.integers(0, 600_000), st.booleans()),
    st.builds(stream.AskOffers, marks),
    st.builds(stream.ToldOffers, marks),
    st.builds(stream.AskSpec, digests),
    st.builds(stream.ToldSpec, digests),
    catalogues(),
)


def signed(word: stream.Word, by: Person = SELLER, domain: Domain = DOMAIN) -> bytes:
    return stream.sign_word(domain, by.peer, word, by._peer_key.sign)


@given(words)
def test_every_word_travels_whole(word: stream.Word) -> None:
    data = signed(word)
    assert len(data) <= stream.MAX_WORD_BYTES
    said = stream.read_word(DOMAIN, data)
    assert (said.word, said.sender) == (word, SELLER.peer)
    frame = encode(stream.SaleFrame(data, b"part"))
    assert decode(stream.SaleFrame, frame, stream.MAX_SALE_FRAME_BYTES).word == data


@given(words, st.sampled_from(["chain", "contract", "signer", "sender"]))
def test_a_word_holds_in_one_place_and_of_one_peer(word: stream.Word, other: str) -> None:
    domain = {
        "chain": Domain(CHAIN_ID + 1, CONTRACT),
        "contract": Domain(CHAIN_ID, b"\x66" * 20),
    }.get(other, DOMAIN)
    sign = BUYER._peer_key.sign if other == "signer" else SELLER._peer_key.sign
    sender = BUYER.peer if other == "sender" else SELLER.peer
    data = stream.sign_word(domain, sender, word, sign)
    with pytest.raises(Malformed, match=r"a word about chain|not its sender's"):
        stream.read_word(DOMAIN, data)


@given(words, st.data())
def test_spoiled_bytes_are_no_word(word: stream.Word, data: st.DataObject) -> None:
    whole = bytearray(signed(word))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    if bytes(whole) != signed(word):
        with pytest.raises(Malformed):
            stream.read_word(DOMAIN, bytes(whole))
    with pytest.raises(Malformed):
        stream.read_word(DOMAIN, signed(word)[: data.draw(st.integers(0, len(whole) - 1))])


@given(st.binary(max_size=300))
@example(b"\x92" * 200)
@example(b"\x91" * 300)
@example(b"\xdd\xff\xff\xff\xff")
@example(b"\xc6\xff\xff\xff\xff")
def test_any_bytes_are_refused_in_words(data: bytes) -> None:
    with pytest.raises(Malformed):
        stream.read_word(DOMAIN, data)
    for kind in (stream.SaleFrame, stream.Page):
        try:
            made = decode(kind, data, stream.MAX_SALE_FRAME_BYTES)
        except Malformed:
            continue
        assert encode(made) == data


def test_a_word_and_a_frame_have_bounds() -> None:
    with pytest.raises(Malformed):
        stream.read_word(DOMAIN, b"\xc4\x00" + bytes(stream.MAX_WORD_BYTES))
    with pytest.raises(Malformed):
        stream.SaleFrame(bytes(stream.MAX_WORD_BYTES + 1), b"")
    with pytest.raises(Malformed):
        stream.SaleFrame(b"", b"")
    with pytest.raises(Malformed):
        stream.SaleFrame(b"w", bytes(params.MAX_QUERY_BYTES + 1))
    most = stream.SaleFrame(bytes(stream.MAX_WORD_BYTES), bytes(params.MAX_QUERY_BYTES))
    assert len(encode(most)) <= stream.MAX_SALE_FRAME_BYTES
    with pytest.raises(Malformed):
        stream.Page((b"w",) * (limits.MAX_TOLD_CATALOGUES + 1))


def test_the_longest_catalogue_is_a_word() -> None:
    sold = [
        Offer(
            job=b"\xff" * 32,
            spec_digest=b"\xff" * 32,
            chain_id=2**64 - 1,
            contract=b"\xff" * 20,
            account=b"\xff" * 20,
            token=b"\xff" * 20,
            price=MAX_DEPOSIT,
            mode=Mode.SCORES,
            features=params.MAX_SEALED_FEATURES,
            classes=params.MAX_QUERY_CLASSES,
            feature_bits=16,
            sum_bits=24,
            key_bits=params.KEY_BITS[-1],
            unit=1e300,
            accuracy=(0.1,),
            batch=params.MAX_OFFER_BATCH,
            minute=minute,
            until=2**53,
        )
        for minute in range(params.MAX_OFFER_MINUTE - 15, params.MAX_OFFER_MINUTE + 1)
    ]
    data = signed(Catalogue(2**63 - 1, 2**53, tuple(sold)))
    assert len(data) <= stream.MAX_WORD_BYTES
    said = stream.read_word(DOMAIN, data).word
    assert isinstance(said, Catalogue)
    assert len(said.offers) == limits.MAX_OFFERS_OF_SELLER


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (["Later", 600_001, False], "milliseconds"),
        (["Later", -1, False], "milliseconds"),
        (["Later", 1, 1], "held"),
        (["Met", bytes(31), 0], "channel"),
        (["Met", bytes(32), 2**32], "taken"),
        (["Asked", bytes(32), 0, [bytes(32), 0], [bytes(32), b""]], "size"),
        (["Asked", bytes(32), 0, [bytes(32), 2**23], [bytes(32), b""]], "size"),
        (["Paid", bytes(32), [bytes(32), bytes(66)]], "signature"),
        (["Paid", bytes(32), [bytes(31), b""]], "amount"),
        (["Declined", bytes(32), 0, ""], "reason"),
        (["Released", bytes(32), bytes(32), bytes(64)], "signature"),
        (["Released", bytes(32), bytes(33), bytes(65)], "redeemed"),
        (["Declined", bytes(32), 0, "x" * 301], "reason"),
        (["Replied", bytes(32), 0, "label", [bytes(32), 1]], "part"),
        (["AskOffers", 2**63], "mark"),
        (["AskOffers", 0, 0], "AskOffers"),
        (["AskOffers"], "AskOffers"),
        (["Offer"], "Offer"),
        ([], "word"),
        (0, "word"),
    ],
)
def test_fields_are_bounded_before_anything_is_signed_for(fields: Any, words: str) -> None:
    """Signed by its sender all the same: only the bounds refuse it."""
    told = [params.PROTOCOL_VERSION, CHAIN_ID, CONTRACT, SELLER.peer, fields]
    signature = SELLER._peer_key.sign(b"assay/1 sale\0" + msgpack.packb(told))
    with pytest.raises(Malformed, match=words):
        stream.read_word(DOMAIN, msgpack.packb([told, signature]))


@given(st.binary(min_size=1, max_size=64), st.binary(max_size=64))
def test_a_part_is_the_one_that_is_named(part: bytes, other: bytes) -> None:
    blob = stream.blob_of(part)
    stream.check_part(blob, part)
    wrong = dataclasses.replace(blob, size=blob.size + 1)
    for named, given_ in ((blob, other), (wrong, part)):
        if given_ != part or named is wrong:
            with pytest.raises(Malformed, match="not what its word names"):
                stream.check_part(named, given_)


CHANGED = ("channel", "offer", "key", "peer", "chain", "contract")


@given(st.lists(digests, min_size=3, max_size=3), st.sampled_from(CHANGED))
def test_a_meetings_digest_covers_all_of_it(fields: list[bytes], changed: str) -> None:
    channel, offer, key = fields
    given_: dict[str, Any] = {
        "domain": DOMAIN,
        "channel": channel,
        "offer": offer,
        "key": key,
        "peer": BUYER.peer,
    }
    other = {
        "peer": SELLER.peer,
        "chain": Domain(CHAIN_ID + 1, CONTRACT),
        "contract": Domain(CHAIN_ID, b"\x66" * 20),
    }.get(changed, bytes(each ^ 1 for each in given_.get(changed, b"")))
    name = "domain" if changed in ("chain", "contract") else changed
    assert stream.meeting_digest(**given_) != stream.meeting_digest(**{**given_, name: other})


@given(digests, numbers, digests, numbers)
def test_no_two_queries_have_one_name(one: bytes, first: int, two: bytes, second: int) -> None:
    same = (one, first) == (two, second)
    assert (stream.maker(one, first) == stream.maker(two, second)) is same
