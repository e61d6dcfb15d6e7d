"""The network: gossip, requests, blobs and peers over libp2p, with a guard around the library.

`swarm` is the way in; docs/adr/0101 says why there is a guard. It imports protocol/wire, `params`,
`errors` and node/libs, and no other room: what a message means is decided above it.
"""
