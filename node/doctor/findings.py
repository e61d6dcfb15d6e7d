"""What a check comes to: a state, a sentence, and the next command."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How a check ended. Only a failure makes the command end with a fault."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"
    NOT_ASKED = "not-asked"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: `sentence` says what was seen, `fix` what to do next (empty where all is well).

    `told` goes on with the sentence in words that the log or the daemon told. Values of rows may
    stand in them: they are for this node's user, and never in a bundle.
    """

    state: State
    sentence: str
    fix: str = ""
    told: str = ""

    @property
    def whole(self) -> str:
        """The sentence, to its end."""
        return f"{self.sentence}: {self.told}" if self.told else self.sentence


def ok(sentence: str) -> Finding:
    """All is well."""
    return Finding(State.OK, sentence)


def warning(sentence: str, fix: str, told: str = "") -> Finding:
    """It works, and a person should look."""
    return Finding(State.WARNING, sentence, fix, told)


def failure(sentence: str, fix: str, told: str = "") -> Finding:
    """It does not work."""
    return Finding(State.FAILURE, sentence, fix, told)


def not_asked(sentence: str, fix: str = "") -> Finding:
    """It could not be looked at, for a reason that another check tells or that is no fault."""
    return Finding(State.NOT_ASKED, sentence, fix)


def count(number: int, thing: str, one: str = "", many: str = "") -> str:
    """A number, its thing and what it does: '1 blob', '3 blobs', '1 peer waits', '2 peers wait'."""
    verb = one if number == 1 else many
    return f"{number:,} {thing}{'' if number == 1 else 's'}{' ' if verb else ''}{verb}"
