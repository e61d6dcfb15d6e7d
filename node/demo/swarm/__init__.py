"""The demo's processes: a chain and daemons as children, each home as its user sees it, the ledger.

Children end with the demo, whatever happens. It imports recipes/, console/, control/'s codes and
home/; the chain it asks directly, past every daemon.
"""
