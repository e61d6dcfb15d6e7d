"""Rows of the table of control methods: peers, join, reach."""

from __future__ import annotations

from typing import Any, Final

from node.control import examples as ex
from node.control import params as p
from node.control import results as r
from node.control.api import NodeApi
from node.control.codes import Code
from node.control.network import examples as nx
from node.control.network import results as n
from node.control.rpc import Method, calls

NETWORK: Final[tuple[Method[Any, Any], ...]] = (
    Method(
        "peers",
        "Connected peers.",
        p.Nothing,
        tuple[r.Peer, ...],
        calls(NodeApi.peers),
        (),
        (p.Nothing(), (ex.PEER,)),
    ),
    Method(
        "join",
        "Dial a peer now, and again after each restart.",
        p.JoinParams,
        r.Joined,
        calls(NodeApi.join),
        (Code.INPUT, Code.STATE, Code.PEER),
        (p.JoinParams(ex.ADDRESS), r.Joined(ex.PEER_ID, ex.ADDRESS, 1, False)),
    ),
    Method(
        "reach",
        "Ask up to three connected peers to dial this node. Takes up to 20 seconds.",
        p.Nothing,
        n.Reach,
        calls(NodeApi.reach),
        (),
        (p.Nothing(), nx.REACH),
    ),
)
