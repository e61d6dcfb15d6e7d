"""The chain: typed questions, what the contract said, and transactions that happen once.

`client` asks, `watch` follows, intents/ acts. It imports contracts/ and protocol's `errors`, and no
other room: keys and storage are handed in by its callers.
"""
