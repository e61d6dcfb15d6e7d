"""How much of libp2p a node loads: what TCP, Noise, yamux and gossipsub need, no more."""

from __future__ import annotations

from typing import Final

from node.bounds.hollow import without

#: What libp2p loads and a node of TCP, Noise and yamux never uses: 33 MB, half a second.
UNUSED: Final = (
    "aioquic",
    "dns.quic",
    "httpcore2",
    "httpx2",
    "libp2p.bitswap",
    "libp2p.discovery",
    "libp2p.kad_dht",
    "libp2p.relay",
    "libp2p.security.secio",
    "libp2p.security.tls",
    "libp2p.transport.quic",
    "libp2p.transport.websocket",
    "prometheus_client",
    "websockets",
    "zeroconf",
)


def load() -> None:
    """Import what `open_swarm` needs, unless it is there already. Half a second."""
    with without(*UNUSED):
        import node.net.assemble  # noqa: F401 (kept for who imports it next)
