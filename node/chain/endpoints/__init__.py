"""Several chain nodes as one: which is asked, which is left and why, and what two must agree on.

`standing` is the rule, `endpoints` asks. It imports chain/'s provider, replies and errors; of
chain/ only `client` imports it.
"""
