"""Transactions that happen once: what the node wants done on the chain, stored before it is sent.

`intents` takes a wish, `sequencer` gives it a nonce and follows it until it is final, `rows` keeps
both. It imports chain/'s client, replies and errors; nothing else of chain/ imports it.
"""
