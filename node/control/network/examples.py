"""Examples of the methods about this node's place in the network."""

from __future__ import annotations

from typing import Final

from node.control import examples as ex
from node.control.network import results as n

REACH: Final = n.Reach(
    "outside",
    (
        n.AskedPeer(ex.PEER_ID, "8.8.4.4", "dialled", 4001, "8.8.8.8", "8.8.4.4", ""),
        n.AskedPeer(
            "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp",
            "9.9.9.9",
            "unable",
            4001,
            "",
            "",
            "its version does not know this question",
        ),
    ),
)
