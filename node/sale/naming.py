"""What offers and channels are called by: the beginning of an id, as people type it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from protocol.errors import InputError

T = TypeVar("T")


def only(given: str, among: Iterable[tuple[bytes, T]], kind: str, where: str, see: str) -> T:
    """What stands beside the one id that begins with `given`, in hexadecimal digits.

    Raises InputError for the field `kind` where no id, or several, begin so: it names `where` they
    were looked for, and `see`, the command that lists them.
    """
    prefix = given.lower().removeprefix("0x")
    found = [each for key, each in among if prefix and key.hex().startswith(prefix)]
    if len(found) == 1:
        return found[0]
    many = f"{len(found)} {kind}s {where} begin" if found else f"no {kind} {where} begins"
    error = InputError(f"{many} with {given!r}", kind)
    error.add_note(see)
    raise error
