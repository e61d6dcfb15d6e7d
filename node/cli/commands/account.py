"""account and keys: the account that pays and is paid, and backups of its keys."""

from __future__ import annotations

import sys
from getpass import getpass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from node.cli import money_views
from node.cli.options import Here
from node.console.client import NoDaemon
from node.console.failure import Failure
from node.console.show import Pairs
from node.control.codes import Exit


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
    """Write account, identity, lasting secrets and settings to one file under a passphrase of its
    own."""
    from node.home.keys import Keys
    from node.home.vault import read_passphrase

    keys = Keys.open(session.home, read_passphrase())
    keys.backup(file.absolute(), _ask("passphrase of the backup", twice=True))
    session.emit({"file": str(file.absolute())}, [f"written: {file.absolute()}"])
    return Exit.OK


def restore(
    file: Annotated[Path, Parameter(help="A file that `assay keys backup` wrote.")],
    *,
    session: Here,
) -> int:
    """Make this home's keys from a backup, and its settings if it has none. The home must have no
    keys yet; then `assay up` is enough."""
    from node.home.config import Config, save_config
    from node.home.keys import Keys
    from node.home.vault import read_passphrase
    from protocol.addresses import to_checksum

    home = session.home
    home.create()
    keys = Keys.restore(home, file.absolute(), _ask("passphrase of the backup"), read_passphrase())
    if not home.config.exists():
        save_config(home, Config())
    address = to_checksum(keys.account)
    session.emit({"address": address, "home": str(home.path)}, [f"restored account {address}"])
    return Exit.OK


def _ask(what: str, twice: bool = False) -> str:
    """A passphrase: a line of standard input where that is no terminal, else asked for."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    given = getpass(f"{what}: ")
    if twice and getpass("the same again: ") != given:
        raise Failure(Exit.USAGE, "the two differ; nothing was written", field="passphrase")
    return given
