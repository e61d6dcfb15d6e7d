"""Receipts: whatever is changed in a file shows, and names the line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct
from hypothesis import given
from hypothesis import strategies as st

from protocol.addresses import to_checksum
from protocol.books import receipts
from protocol.errors import InputError

OWNER = Account.from_key(b"\x07" * 32)
ROWS: list[dict[str, Any]] = [
    {"job": "0x" + "5a" * 32, "round": n, "due": "250000", "paid": "0", "title": "W{a[rd\u202e"}
    for n in range(4)
]


def made(rows: list[dict[str, Any]], signer: Any = OWNER) -> bytes:
    lines = receipts.chain_lines({"account": to_checksum(bytes.fromhex(OWNER.address[2:]))}, rows)
    signature = signer.unsafe_sign_hash(receipts.signed_digest(lines)).signature
    return receipts.seal(lines, bytes(signature)).encode()


def test_a_file_is_read_back_as_it_was_made() -> None:
    found = receipts.verify(made(ROWS))
    assert to_checksum(found.account) == OWNER.address
    assert [{k: v for k, v in line.items() if k != "previous"} for line in found.lines] == ROWS
    assert receipts.verify(made([])).lines == ()


def test_a_wallet_signs_and_checks_the_same_text() -> None:
    """Another implementation of EIP-191: eth_account's."""
    content = made(ROWS).decode().splitlines()
    import hashlib

    head = hashlib.sha256(content[-2].encode()).hexdigest()
    message = encode_defunct(text=f"assay receipts 1\n4 receipts\n{head}")
    signature = json.loads(content[-1])["signature"]
    assert Account.recover_message(message, signature=signature) == OWNER.address


@given(st.data())
def test_no_byte_can_be_changed(data: st.DataObject) -> None:
    content = made(ROWS)
    at = data.draw(st.integers(0, len(content) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != content[at]))
    changed = content[:at] + bytes([byte]) + content[at + 1 :]
    with pytest.raises(InputError):
        receipts.verify(changed)


@pytest.mark.parametrize("line", [2, 3, 4, 5])
def test_a_changed_line_is_named(line: int) -> None:
    lines = made(ROWS).decode().splitlines(keepends=True)
    lines[line - 1] = lines[line - 1].replace('"paid":"0"', '"paid":"1"')
    with pytest.raises(InputError, match=f"line {line} does not hold: it was changed"):
        receipts.verify("".join(lines).encode())


def test_lines_cannot_be_left_out_put_in_moved_or_cut_off() -> None:
    lines = made(ROWS).splitlines(keepends=True)
    for wrong in (
        [*lines[:2], *lines[3:]],
        [*lines[:2], lines[1], *lines[2:]],
        [lines[0], lines[2], lines[1], *lines[3:]],
        lines[:-1],
        lines[:1],
        [*lines, lines[-1]],
        [*lines[:-1], lines[-1][:-1]],
        [],
    ):
        with pytest.raises(InputError):
            receipts.verify(b"".join(wrong))


def test_another_account_cannot_sign_for_it() -> None:
    with pytest.raises(InputError, match="not of the account that line 1 names"):
        receipts.verify(made(ROWS, Account.from_key(b"\x08" * 32)))


@pytest.mark.parametrize(
    "content",
    [
        b"\n\n",
        b"{}\n{}\n",
        b"[" * 5000 + b"\n{}\n",
        b'{"a":' * 1000 + b"\n{}\n",
        b'{"assay":"receipts 1"}\n{"previous":1}\n',
        b"\xff\xfe\n\n",
        b'{"a":NaN}\n{}\n',
        b'{"a":1e400}\n{}\n',
        b"x" * (receipts.MAX_LINE_BYTES + 1) + b"\n\n",
    ],
)
def test_what_is_no_file_of_receipts_is_refused(content: bytes) -> None:
    with pytest.raises(InputError) as caught:
        receipts.verify(content)
    assert len(str(caught.value)) < 300


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_in_words(content: bytes) -> None:
    with pytest.raises(InputError):
        receipts.verify(content)
