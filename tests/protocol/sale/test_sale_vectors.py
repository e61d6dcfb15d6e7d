"""The vectors of docs/spec/channel.md and sale.md, made without assay."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kits.paths import TESTS

from protocol.books.typed_data import Domain, recover
from protocol.errors import Malformed
from protocol.sale import messages
from protocol.sale.vouchers import (
    Terms,
    Voucher,
    check_voucher,
    release_digest,
    voucher_digest,
)
from protocol.wire.codec import decode_tagged, encode_tagged

VECTORS = json.loads((TESTS / "vectors" / "sale.json").read_text())
KINDS = (
    messages.Asked,
    messages.Chosen,
    messages.Paid,
    messages.Replied,
    messages.Receipt,
    messages.Declined,
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
    else:
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
