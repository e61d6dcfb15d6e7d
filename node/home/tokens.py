"""tokens.json: the ERC-20 tokens that this home's user has named (`assay token`), read strictly.

The file stands beside config.toml, so that a command that needs no daemon reads the same list as
the daemon does. It is private to the user, and small; whatever does not fit is refused whole.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, Final

from node.bounds.nesting import depth_exceeds
from node.home.config import load_config
from node.home.home import Home, write_private
from node.home.vault import read_bounded
from protocol.addresses import parse_address, to_checksum
from protocol.errors import InputError
from protocol.tokens import NO_TOKENS, Token, Tokens

#: A list of MAX_TOKENS takes a fifth of it.
MAX_FILE_BYTES: Final = 256 * 1024

#: Arrays and objects within each other: a list of tokens has three.
_MAX_DEPTH: Final = 8

_FIELDS: Final = {"chain_id": int, "address": str, "name": str, "decimals": int, "symbol": str}


def load_all(home: Home) -> Tokens:
    """Tokens of every chain; none where there is no file. Raises InputError for a damaged file."""
    path = home.tokens
    try:
        content = read_bounded(path, MAX_FILE_BYTES)
    except FileNotFoundError:
        return NO_TOKENS
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error}", "tokens") from error
    try:
        if depth_exceeds(content, _MAX_DEPTH):
            raise ValueError("it is nested too deeply")
        table = json.loads(content.decode())
        return Tokens(tuple(_token(row) for row in table["tokens"]))
    except (ValueError, TypeError, KeyError, InputError) as error:
        broken = InputError(f"{path} is no list of tokens: {error}", "tokens")
        broken.add_note("assay token add ADDRESS, once the file is moved away")
        raise broken from error


def load_tokens(home: Home) -> Tokens:
    """Tokens of this home's chain; none where it has no chain yet. Raises InputError."""
    if not home.tokens.exists():
        return NO_TOKENS
    return load_all(home).on(load_config(home).chain_id)


def change_tokens(home: Home, change: Callable[[Tokens], Tokens]) -> Tokens:
    """Replace the list by what `change` makes of it; whole or not at all. Raises InputError."""
    with _alone(home):
        changed = change(load_all(home))
        rows = [asdict(t) | {"address": to_checksum(t.address)} for t in changed]
        write_private(home.tokens, json.dumps({"tokens": rows}, indent=1).encode() + b"\n")
    return changed


@contextmanager
def _alone(home: Home) -> Iterator[None]:
    """One change at a time: the kernel's lock on the directory ends with the process."""
    home.check()
    fd = os.open(home.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _token(row: Any) -> Token:
    if not isinstance(row, dict) or set(row) != set(_FIELDS):
        raise ValueError(f"a token has {', '.join(_FIELDS)}")
    for name, kind in _FIELDS.items():
        if type(row[name]) is not kind:
            raise ValueError(f"{name} is {row[name]!r:.60}")
    return Token(**{**row, "address": parse_address(row["address"])})
