"""Bytes of a connection behind its handshake, as node/net/muxer.py writes and reads them.

It imports nothing of node/net.
"""
