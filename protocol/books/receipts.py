"""Receipts: what an owner's work earned, line by line, so that a changed line shows.

A file of JSON lines. Each line but the first names the SHA-256 of the line before it, and the last
one is signed by the owner's account, in the form that wallets sign texts in (EIP-191). So whoever
has the file and the account's address can check it without assay (docs/spec/receipts.md). It says
what its owner's node knew: the contract's events stand behind due and paid, and the chain has them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from eth_hash.auto import keccak

from protocol.addresses import parse_address
from protocol.books.typed_data import SIGNATURE_BYTES, recover
from protocol.errors import InputError, Malformed

#: The first line's `assay`, and the first line of the text that is signed.
KIND: Final = "receipts 1"

#: Of a file, bytes, and of a line of it: a receipt has about 700.
MAX_BYTES: Final = 64 * 1024 * 1024
MAX_LINE_BYTES: Final = 8 * 1024

_LAST: Final = frozenset({"previous", "receipts", "signature"})


@dataclass(frozen=True, slots=True)
class Receipts:
    """A file that holds: whose it is (20 bytes), its first line, and its receipts in order."""

    account: bytes
    head: Mapping[str, Any]
    lines: tuple[Mapping[str, Any], ...]


def chain_lines(head: Mapping[str, Any], receipts: Sequence[Mapping[str, Any]]) -> list[str]:
    """The first line and a line for each receipt, each naming the one before it."""
    lines = [_line({"assay": KIND, **head})]
    for receipt in receipts:
        lines.append(_line({"previous": _hash(lines[-1]), **receipt}))
    return lines


def signed_digest(lines: Sequence[str]) -> bytes:
    """What the account signs (EIP-191, version E): the kind, the count, the last line's hash."""
    text = f"assay {KIND}\n{len(lines) - 1} receipts\n{_hash(lines[-1])}".encode()
    return keccak(b"\x19Ethereum Signed Message:\n" + str(len(text)).encode() + text)


def seal(lines: Sequence[str], signature: bytes) -> str:
    """The whole file: the lines, and the last one with the signature (65 bytes: r, s, v)."""
    last = {
        "previous": _hash(lines[-1]),
        "receipts": len(lines) - 1,
        "signature": "0x" + signature.hex(),
    }
    return "".join(f"{line}\n" for line in (*lines, _line(last)))


def verify(content: bytes) -> Receipts:
    """Check a file. Raises InputError that names the first line where it does not hold.

    Whatever was changed, left out, put in or moved is one of these lines; who signed is in the
    result, and the caller compares it with whom it expects.
    """
    if len(content) > MAX_BYTES:
        raise InputError(f"has {len(content)} bytes; at most {MAX_BYTES} are read", "file")
    if not content.endswith(b"\n"):
        raise InputError("does not end with a line's end: it was cut off", "file")
    texts = content[:-1].split(b"\n")
    if len(texts) < 2:
        raise InputError("has no last line with a signature: it was cut off", "file")
    rows = [_read(number, text) for number, text in enumerate(texts, start=1)]
    if rows[0].get("assay") != KIND:
        raise _fault(1, f"its `assay` is not {KIND!r}: it is no file of receipts")
    for number in range(1, len(rows)):
        if rows[number].get("previous") != _hash(texts[number - 1].decode()):
            raise _fault(number, "it was changed, or the line after it is not the one that was")
    last = rows[-1]
    if set(last) != _LAST or last["receipts"] != len(rows) - 2:
        raise _fault(len(rows), "it is no last line: the file was cut off, or added to")
    account = _signer([text.decode() for text in texts[:-1]], last["signature"], len(rows))
    try:
        named = parse_address(str(rows[0].get("account")))
    except InputError as error:
        raise _fault(1, f"its account {error}") from error
    if named != account:
        raise _fault(len(rows), "its signature is not of the account that line 1 names")
    return Receipts(account, rows[0], tuple(rows[1:-1]))


def _signer(lines: Sequence[str], signature: object, number: int) -> bytes:
    try:
        raw = bytes.fromhex(str(signature).removeprefix("0x"))
        if len(raw) != SIGNATURE_BYTES:
            raise Malformed(f"{len(raw)} bytes")
        return recover(signed_digest(lines), raw)
    except (ValueError, Malformed) as error:
        raise _fault(number, f"its signature is none: {error}") from error


def _read(number: int, text: bytes) -> dict[str, Any]:
    """One line, which must be as `_line` writes it: then its hash covers all that it says."""
    if len(text) > MAX_LINE_BYTES:
        raise _fault(number, f"it has {len(text)} bytes; at most {MAX_LINE_BYTES} are read")
    # A receipt is flat; deeper JSON could exhaust the reader's stack.
    if text.count(b"{") > 1 or b"[" in text.replace(b"\\u005b", b""):
        raise _fault(number, "it is no flat object")
    try:
        row = json.loads(text.decode("ascii"))
    except ValueError as error:
        raise _fault(number, f"it is no JSON: {error}") from error
    try:
        # A number that is not finite (NaN, 1e400) cannot be written.
        kept = isinstance(row, dict) and _line(row).encode() == text
    except ValueError:
        kept = False
    if not kept:
        raise _fault(number, "it is not written as receipts are")
    return cast("dict[str, Any]", row)


def _line(row: Mapping[str, Any]) -> str:
    """Names in order, no spaces, ASCII; brackets within texts are escaped, so that none stands."""
    text = json.dumps(row, sort_keys=True, separators=(",", ":"), allow_nan=False)
    head, body = text[:1], text[1:]
    return head + body.replace("{", "\\u007b").replace("[", "\\u005b")


def _hash(line: str) -> str:
    return hashlib.sha256(line.encode()).hexdigest()


def _fault(number: int, what: str) -> InputError:
    return InputError(f"line {number} does not hold: {what}", "file")
