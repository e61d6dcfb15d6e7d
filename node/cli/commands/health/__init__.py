"""How a node runs and is: as a service, what is wrong, what it wrote, what happened, the page.

They import what commands import; only `events` asks the daemon for more than it says by itself.
"""
