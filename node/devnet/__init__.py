"""`assay devnet`: a chain of one machine, for trying assay out and for its tests.

eth-tester's py-evm behind a pool, an index and JSON-RPC of its own (docs/adr/0200); `server` is the
way in. It imports protocol's `errors`, and no other room; only cli/ imports it.
"""
