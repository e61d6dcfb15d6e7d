"""account and keys: the account that pays and is paid, and backups of its keys."""

from __future__ import annotations

import sys
from getpass import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from node.cli import money_views
from node.cli.options import Here
from node.console.client import NoDaemon
from node.console.failure import Failure
from node.console.show import Pairs
from node.control.codes import Exit

if TYPE_CHECKING:
    from node.store.backup.snapshot import Restored


def account(*, session: Here) -> int:
    """This home's account; with a running daemon, its balance and what it can claim."""
    try:
        found = session.call("account")
    except NoDaemon:
        from node.home.keys import public_account
        from protocol.addresses import to_checksum

        address = to_checksum(public_account(session.home))
        session.emit({"address": address}, [Pairs([("account", address)])])
        return Exit.OK
    session.emit(found, money_views.account(found, session.tokens))
    return Exit.OK


def backup(
    file: Annotated[Path, Parameter(help="The file to write; it must not exist.")],
    *,
    session: Here,
) -> int:
    """Write account, identity, lasting secrets, settings, privacy budgets and jobs to one file.

    It is sealed by a passphrase of its own. A daemon may run. Rows and models are not in it.
    """
    from node.home.keys import Keys
    from node.home.vault import read_passphrase
    from node.store.backup.snapshot import pack

    keys = Keys.open(session.home, read_passphrase())
    store = pack(session.home)
    keys.backup(file.absolute(), _ask("passphrase of the backup", twice=True), store)
    held = "with budgets and jobs" if store else "this home has no jobs yet"
    session.emit({"file": str(file.absolute())}, [f"written: {file.absolute()}, {held}"])
    return Exit.OK


def restore(
    file: Annotated[Path, Parameter(help="A file that `assay keys backup` wrote.")],
    *,
    session: Here,
) -> int:
    """Make this home's keys from a backup; its settings, budgets and jobs if it has none. The home
    must have no keys yet; then `assay up` is enough.

    The restored node begins nothing in jobs that it knows, and releases nothing of what it had
    begun there. Rounds that were set aside for them count as told. Data sets wait for their files:
    `assay data replace`.
    """
    from node.home.config import Config, save_config
    from node.home.keys import Keys
    from node.home.vault import read_passphrase
    from node.store.backup.snapshot import unpack
    from protocol.addresses import to_checksum

    home = session.home
    home.create()
    found: Restored | None = None
    made = ""

    def take(packed: bytes, then: str) -> None:
        nonlocal found, made
        found, made = unpack(home, packed, then), then

    keys = Keys.restore(
        home, file.absolute(), _ask("passphrase of the backup"), read_passphrase(), take
    )
    if not home.config.exists():
        save_config(home, Config())
    address = to_checksum(keys.account)
    result = {
        "address": address,
        "home": str(home.path),
        "made": made,
        "jobs": 0 if found is None else found.jobs,
        "running": 0 if found is None else found.running,
        "datasets": 0 if found is None else found.datasets,
    }
    session.emit(result, [f"restored account {address}", *_restored(found, made), "next: assay up"])
    return Exit.OK


def _restored(found: Restored | None, made: str) -> list[str]:
    """What a person is to know of what came back."""
    if found is None:
        return ["no budgets and no jobs: the backup holds none, or this home has its own"]
    jobs = "1 job" if found.jobs == 1 else f"{found.jobs} jobs"
    lines = [f"budgets and {jobs} as of {made}; what was told since is not in them"]
    if found.running:
        lines.append(
            f"{found.running} of the jobs ran on data of this home: it begins nothing there any "
            "more, releases nothing of what it had begun, and counts their rounds as told"
        )
    if found.datasets:
        waits = "1 data set waits" if found.datasets == 1 else f"{found.datasets} data sets wait"
        lines.append(f"{waits} for a file: assay data replace NAME FILE")
    return lines


def _ask(what: str, twice: bool = False) -> str:
    """A passphrase: a line of standard input where that is no terminal, else asked for."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    given = getpass(f"{what}: ")
    if twice and getpass("the same again: ") != given:
        raise Failure(Exit.USAGE, "the two differ; nothing was written", field="passphrase")
    return given
