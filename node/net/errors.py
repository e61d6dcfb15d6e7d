"""How a conversation with a peer fails. Each error names the peer and the cause in one line."""

from __future__ import annotations

from typing import Any

import trio

from protocol.errors import Malformed, PeerError


class ConversationError(PeerError):
    """A request could not be made or answered. `peer` is the other side's peer id."""

    def __init__(self, peer: str, message: str) -> None:
        super().__init__(f"peer {peer}: {message}")
        self.peer = peer


class Unreachable(ConversationError):
    """No address is known for the peer, or none of them answers."""


class Unspoken(Unreachable):
    """The peer is there, and does not speak this protocol: its version is older, or another."""


class Disconnected(ConversationError):
    """The stream broke before the reply was whole. Asking again may work."""


class TimedOut(ConversationError):
    """The reply did not come, or stopped coming, in time."""


class Refused(ConversationError):
    """The peer answered, and the answer is no.

    `lasting` says that asking again soon is pointless (it does not hold the thing, or does not want
    to), as opposed to a peer that is busy or failed inside.
    """

    def __init__(self, peer: str, message: str, lasting: bool) -> None:
        super().__init__(peer, message)
        self.lasting = lasting


class Broken(ConversationError, Malformed):
    """The peer sent bytes that no honest peer sends; they have been counted against it."""


class FetchFailed(PeerError):
    """No peer that was asked could give the blob. What was received and verified is kept.

    `causes` maps a peer id to what it did, in its own words or ours.
    """

    def __init__(self, digest: bytes, causes: dict[str, str]) -> None:
        told = "; ".join(causes.values()) or "there was nobody to ask"
        super().__init__(f"blob {digest.hex()}: {told}")
        self.digest = digest
        self.causes = dict(causes)


def first_leaf(group: BaseExceptionGroup[Any]) -> BaseException:
    """One exception of a group of groups: a cancellation if there is any, else the first."""
    cancelled = group.subgroup(trio.Cancelled)
    error: BaseException = group if cancelled is None else cancelled
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def only(group: BaseExceptionGroup[Any]) -> BaseException | None:
    """The one exception in a group of groups, or None if there are more."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        if len(error.exceptions) != 1:
            return None
        error = error.exceptions[0]
    return error
