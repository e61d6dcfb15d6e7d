"""A node's verdict on a gossip message, before it hands the message on.

The names and meanings are libp2p's (gossipsub v1.1, "Extended validators").
"""

from __future__ import annotations

from enum import Enum


class Verdict(Enum):
    """The outcome of judging one message."""

    #: Deliver it here and forward it to the mesh.
    ACCEPT = "accept"

    #: Drop it without blame: honest peers send such messages (stale, not for us, seen elsewhere).
    IGNORE = "ignore"

    #: Drop it and count it against the peer that sent it: no honest peer does.
    REJECT = "reject"
