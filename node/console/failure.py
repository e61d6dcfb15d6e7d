"""The error that a command raises when it cannot do what was asked. Standard library only."""

from __future__ import annotations

from node.control.codes import Exit


class Failure(Exception):
    """One line for a person, the next command, and the exit code.

    `field` is the dotted path of the offending value, empty if there is none.
    """

    def __init__(self, end: Exit, message: str, *, next_: str = "", field: str = "") -> None:
        super().__init__(message)
        self.end = end
        self.next = next_
        self.field = field


def explain(error: Exception) -> Failure:
    """Any exception as a Failure. Our own errors keep their words; others are a defect of ours."""
    if isinstance(error, Failure):
        return error
    # Late: a command that met no such error has not imported protocol, and need not.
    from protocol.errors import (
        AssayError,
        ChainError,
        FatalError,
        InputError,
        PeerError,
        StateError,
    )

    if not isinstance(error, AssayError):
        text = f"a defect in assay: {type(error).__name__}: {error}"
        return Failure(Exit.INTERNAL, text, next_="the same command with --debug")
    ends: tuple[tuple[type[AssayError], Exit], ...] = (
        (InputError, Exit.USAGE),
        (PeerError, Exit.PEER),
        (ChainError, Exit.CHAIN),
        (StateError, Exit.REFUSED),
        (FatalError, Exit.INTERNAL),
    )
    end = next((end for kind, end in ends if isinstance(error, kind)), Exit.INTERNAL)
    notes: list[str] = getattr(error, "__notes__", [])
    field = error.field if isinstance(error, InputError) else ""
    return Failure(end, str(error), next_=notes[0] if notes else "", field=field)
