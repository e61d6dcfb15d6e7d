"""What goes over the wire: canonical bytes, envelopes, messages, gossip, names of blobs.

The floor of protocol/: it imports `errors` and `params` beside it, and no other room. A new message
begins in `messages`; docs/spec/messages.md and a vector go with it.
"""
