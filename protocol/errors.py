"""The error tree: whose fault an error is decides what the caller can do.

AssayError
├── InputError      the local user's: what they gave is wrong; nothing was changed; say it and go on
├── PeerError       another participant's: drop the message, count it against the peer, go on
│   └── Malformed   bytes that no honest peer sends (schema, limit, encoding, signature)
├── ChainError      the chain's or its node's: retry later, or wait for a person
├── StateError      an input that the state does not know; nothing was changed
└── FatalError      ours: an invariant is broken; stop this job, keep its evidence
"""

from __future__ import annotations


class AssayError(Exception):
    """Base of everything that assay raises on purpose. `str()` is one line for a person."""


class InputError(AssayError):
    """What the local user gave is wrong: field, value, what is allowed.

    `field` is the dotted path of the offending value ('privacy.epsilon'), empty if there is none.
    """

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field


class PeerError(AssayError):
    """A peer did something that it may not do, or could not do what was asked."""


class Malformed(PeerError):
    """Bytes that no honest peer sends: wrong schema, over a limit, not canonical, badly signed."""


class ChainError(AssayError):
    """The chain refused, is unreachable, or is not the chain that was expected."""


class StateError(AssayError):
    """An input that the machine's present state does not know. The state is unchanged."""


class FatalError(AssayError):
    """An invariant of our own is broken. The job stops and its evidence is kept."""
