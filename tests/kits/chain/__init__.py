"""A devnet in its own process, keys for it, and nodes that misbehave."""
