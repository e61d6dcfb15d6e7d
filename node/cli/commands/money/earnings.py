"""earnings, receipts: what this home's data sets earned, and a file that proves it."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from node.cli import money_views
from node.cli.options import Here
from node.console.failure import Failure
from node.console.show import clean
from node.control.codes import Exit

if TYPE_CHECKING:
    from node.control import shapes
    from protocol.tokens import Tokens

OneJob = Annotated[str | None, Parameter(help="One job, by the beginning of its id; default: all.")]

_COLUMNS: Final = (
    "job",
    "title",
    "requester",
    "round",
    "block",
    "currency",
    "due",
    "paid",
    "transaction",
    "batch",
    "bytes",
    "epsilon",
)

#: What makes a cell a formula where a spreadsheet opens it.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def earnings(
    job: OneJob = None,
    *,
    csv_: Annotated[
        bool, Parameter(name="--csv", help="As CSV, for a spreadsheet.", negative="")
    ] = False,
    session: Here,
) -> int:
    """What this home's data sets earned: by job and round what left, what is due, what was paid.

    A round counts once the chain holds its commitment. Amounts are exact, in each job's currency.
    """
    found = session.call("earnings", {"job": job, "signed": False})
    if csv_ and not session.json:
        sys.stdout.write(_csv(found["lines"], session.tokens))
        sys.stdout.flush()
    else:
        session.emit(found["lines"], money_views.earnings(found["lines"], session.tokens))
    return Exit.OK


def receipts(
    job: OneJob = None,
    *,
    out: Annotated[Path | None, Parameter(help="The file to write; it must not exist.")] = None,
    verify: Annotated[
        Path | None, Parameter(help="Check this file instead; no daemon is asked.")
    ] = None,
    session: Here,
) -> int:
    """What was earned as receipts: lines of JSON, chained by hashes and signed by this account.

    With --verify FILE: whether anything in a file was changed, and which account signed it. Exit
    code 7 if it does not hold.
    """
    if verify is not None:
        return _verify(session, verify)
    text: str = session.call("earnings", {"job": job, "signed": True})["receipts"]
    if out is None:
        sys.stdout.write(text)
        sys.stdout.flush()
        return Exit.OK
    target = out.absolute()
    try:
        with target.open("x", encoding="ascii") as file:
            file.write(text)
    except OSError as error:
        said = f"{target} cannot be written: {error.strerror}"
        raise Failure(Exit.USAGE, said, field="out") from None
    count = text.count("\n") - 2
    lines = [f"written: {target}, {count} receipts", f"next: assay receipts --verify {target}"]
    session.emit({"file": str(target), "receipts": count}, lines)
    return Exit.OK


def _verify(session: Here, path: Path) -> int:
    from protocol.addresses import to_checksum
    from protocol.books import receipts as books
    from protocol.errors import InputError

    try:
        with path.open("rb") as file:
            content = file.read(books.MAX_BYTES + 1)
    except OSError as error:
        text = f"{path} cannot be read: {error.strerror}"
        raise Failure(Exit.USAGE, text, field="verify") from None
    try:
        found = books.verify(content)
    except InputError as error:
        text = str(error).removeprefix("file: ")
        session.emit({"ok": False, "problem": text}, [f"FAULT: {path}: {text}"])
        return Exit.FAULT
    account = to_checksum(found.account)
    result = {"ok": True, "account": account, "receipts": len(found.lines)}
    said = f"{path} holds: {len(found.lines)} receipts, signed by {account}"
    session.emit(result, [said, "compare that account with whose receipts these should be"])
    return Exit.OK


def _csv(lines: list[shapes.Earning], tokens: Tokens | None) -> str:
    written = io.StringIO()
    table = csv.writer(written, lineterminator="\n")
    table.writerow(_COLUMNS)
    for line in lines:
        unit, due, paid = money_views.plain(line, tokens)
        cells = {
            **line,
            "round": "merit" if line["round"] is None else line["round"],
            "currency": unit,
            "due": due,
            "paid": paid,
        }
        table.writerow([_cell(cells[name]) for name in _COLUMNS])
    return written.getvalue()


def _cell(value: object) -> str:
    """A title is its requester's: no spreadsheet may take it for a formula."""
    text = "" if value is None else clean(str(value))
    return f"'{text}" if text.startswith(_FORMULA) else text
