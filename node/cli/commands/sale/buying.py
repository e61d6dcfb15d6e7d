"""predict OFFER: a file's predictions bought, row by row, with a budget."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from node.cli.commands.sale import views
from node.console.asking import agree
from node.console.failure import Failure
from node.console.show import clean
from node.control.codes import Exit

if TYPE_CHECKING:
    from node.console.session import Session


def buy(
    session: Session,
    offer: str,
    file: Path,
    out: Path,
    budget: str | None,
    yes: bool,
    force: bool,
    reading: dict[str, object],
) -> int:
    """Buy predictions for a file's rows into `out`; what was bought before is not paid again."""
    if budget is None:
        text = "predictions of an offer cost money"
        raise Failure(
            Exit.USAGE, text, next_="the same command with --budget '0.01 ether'", field="budget"
        )
    if not file.is_file():
        raise Failure(Exit.USAGE, f"{file} is no file", field="file")
    given = {"offer": offer, "path": str(file.absolute()), **reading}
    told = session.call("sale.prepare", given)
    most = _budget(session, budget, told["offer"])
    if told["ask"] and not yes:
        text = views.to_buy(told, most, session.tokens)
        command = f"assay predict {offer} {quote(str(file))} --budget '{budget}'"
        command += f" --out {quote(str(out))}"
        command += " --force" * force
        agree(text, "buy them?", command=command, left="nothing was bought")
    found = _follow(session, told, most)
    written = session.call("sale.write", {"purchase": told["purchase"]})
    _copy(Path(written["path"]), out, force)
    result = {**found, "prepared": told, "out": str(out), "empty": written["empty"]}
    session.emit(result, views.bought(result, session.tokens))
    return Exit.OK if not found["left"] else Exit.REFUSED


def _follow(session: Session, told: dict[str, Any], most: int) -> dict[str, Any]:
    """Have the daemon ask on, until there is nothing left that may be asked."""
    shown = sys.stderr.isatty() and not session.json
    given = {"purchase": told["purchase"], "budget": str(most)}
    try:
        while True:
            found: dict[str, Any] = session.call("sale.buy", given)
            if shown:
                line = views.progress(told, found, session.tokens)
                sys.stderr.write(f"\r\x1b[2K{clean(line)}")
                sys.stderr.flush()
            if not found["running"]:
                return found
    finally:
        if shown:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()


def _budget(session: Session, text: str, offer: dict[str, Any]) -> int:
    """--budget in the offer's currency. Raises InputError, Failure."""
    from protocol.addresses import ZERO_ADDRESS, parse_address
    from protocol.tokens import NO_TOKENS

    token = offer["token"]
    address = ZERO_ADDRESS if token is None else parse_address(token, "budget")
    if text.strip().replace(".", "", 1).isdigit():
        said = f"budget: is {text!r:.60}; say of what, as '0.001 ether', '2.5 USDC' or '7 units'"
        raise Failure(Exit.USAGE, said, field="budget")
    return (session.tokens or NO_TOKENS).parse(text, address, "budget")


def _copy(source: Path, out: Path, force: bool) -> None:
    part = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        if out.exists() and not force:
            raise Failure(Exit.USAGE, f"{out} exists", next_="the same with --force", field="out")
        shutil.copyfile(source, part)
        part.replace(out)
    except OSError as error:
        text = f"{out} cannot be written: {error.strerror or error}"
        raise Failure(Exit.USAGE, text, field="out") from error
    finally:
        part.unlink(missing_ok=True)
