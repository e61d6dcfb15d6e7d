"""Nodes that have IPv6 alone: they are dialled, asked, and dialled back as any other."""

from __future__ import annotations

import socket

import pytest
from kits.net.swarms import swarm

from node.net.rules.callback import Outcome, Verdict


@pytest.fixture(autouse=True)
def _ipv6() -> None:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError as error:
            pytest.skip(f"this machine has no IPv6: {error}")


async def reversed_(peer: str, data: bytes) -> bytes:
    return data[::-1]


async def test_a_node_on_ipv6_alone_is_dialled_and_knows_whence() -> None:
    async with swarm(listen=("/ip6/::1/tcp/0",)) as a, swarm(a, listen=("/ip6/::1/tcp/0",)) as b:
        a.serve("/assay/echo/1", reversed_)
        assert await b.request(a.peer_id, "/assay/echo/1", b"ab", 10) == b"ba"
        for node in (a, b):
            assert [each.startswith("/ip6/::1/tcp/") for each in node.peers()[0].addresses] == [
                True
            ]
            # Limits by address, and who goes when a node is full, rest on it.
            peer = node._parts.peers.connected()[0]
            assert node._parts.peers.lines.address(peer) == "::1"


async def test_a_dial_back_goes_to_the_port_of_its_kind_of_address() -> None:
    both = ("/ip6/::1/tcp/0", "/ip4/127.0.0.1/tcp/0")
    async with swarm(listen=both) as a, swarm(a, listen=both) as b:
        found = await b.reach()
        assert (found.verdict, found.asked[0].outcome) == (Verdict.NEAR, Outcome.DIALLED)
        kind = "ip6" if ":" in found.asked[0].line else "ip4"
        port = next(each.split("/")[4] for each in b.addresses() if each.startswith(f"/{kind}/"))
        assert found.asked[0].port == int(port)
        assert found.asked[0].told == found.asked[0].came_from == found.asked[0].line
