"""`assay earnings` and `assay receipts`: exact amounts, and a file that shows what was changed."""

from __future__ import annotations

import csv
import dataclasses
import io
from pathlib import Path
from typing import Any

from eth_account import Account

from node.cli.main import main
from node.control import wire
from node.control.codes import Exit
from node.control.money import examples as mx
from node.control.money import results as mr
from node.home.home import Home
from node.home.tokens import change_tokens
from protocol.addresses import parse_address, to_checksum
from protocol.books import receipts
from protocol.tokens import Token, Tokens

USDC = Token(1337, parse_address(mx.USDC), "USDC", 6)
OWNER = Account.from_key(b"\x07" * 32)


def signed() -> str:
    head = {"account": to_checksum(bytes.fromhex(OWNER.address[2:]))}
    rows: list[Any] = [wire.encode(line, mr.Earning) for line in mx.EARNINGS.lines]
    lines = receipts.chain_lines(head, rows)
    signature = OWNER.unsafe_sign_hash(receipts.signed_digest(lines)).signature
    return receipts.seal(lines, bytes(signature))


async def test_what_was_earned_is_shown_and_written_for_a_spreadsheet(assay: Any) -> None:
    async with assay.daemon() as running:
        home = Home(assay.home)
        home.config.write_text("[chain]\nid = 1337\nurl = 'http://127.0.0.1:1'\n")
        change_tokens(home, lambda known: Tokens((*known, USDC)))
        first, merit = running.node.earned.lines
        hostile = dataclasses.replace(first, title="=1+2", token=None, due=10**18 + 1, paid=0)
        running.node.earned = dataclasses.replace(
            running.node.earned, lines=(first, merit, hostile)
        )
        shown = await assay("earnings")
        assert "0.25 USDC" in shown.out
        assert "in all 0.29 USDC, of which 0.25 USDC are paid" in shown.out
        assert "in all 1000000000000000001 wei, of which 0 ether are paid" in shown.out
        rows = list(csv.DictReader(io.StringIO((await assay("earnings", "--csv")).out)))
        assert [(r["round"], r["currency"], r["due"], r["paid"]) for r in rows] == [
            ("0", "USDC", "0.25", "0.25"),
            ("merit", "USDC", "0.04", "0"),
            ("0", "ether", "1.000000000000000001", "0"),
        ]
        assert rows[2]["title"] == "'=1+2"
        assert len((await assay("earnings", "--json")).json) == 3
        await assay("earnings", first.job[:10])
        assert running.node.receipts_asked[-1] == (first.job[:10], False)


async def test_receipts_are_written_once_and_checked_without_a_daemon(
    assay: Any, tmp_path: Path
) -> None:
    async with assay.daemon() as running:
        running.node.receipts = signed()
        assert (await assay("receipts")).out == running.node.receipts
        written = await assay("receipts", "--out", "mine.jsonl")
        assert (written.code, "2 receipts" in written.out) == (Exit.OK, True)
        assert (await assay("receipts", "--out", "mine.jsonl")).code == Exit.USAGE
    assert (tmp_path / "mine.jsonl").read_text() == signed()


def test_a_changed_receipt_shows(tmp_path: Path, capsys: Any) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text(signed())
    assert main(["--home", str(tmp_path), "receipts", "--verify", str(file)]) == Exit.OK
    assert f"2 receipts, signed by {OWNER.address}" in capsys.readouterr().out
    file.write_text(signed().replace('"paid":"0"', '"paid":"9"'))
    assert main(["--home", str(tmp_path), "receipts", "--verify", str(file)]) == Exit.FAULT
    assert "line 3 does not hold: it was changed" in capsys.readouterr().out
    missing = str(tmp_path / "none")
    assert main(["--home", str(tmp_path), "receipts", "--verify", missing]) == Exit.USAGE
