"""One daemon and its command line: trio, libp2p, web3, SQLite, files and sockets, room by room.

`daemon` puts the parts together, `api` answers the control socket. It imports protocol/ and
contracts/; neither imports it. pyproject.toml lists the rooms' heights, and a test holds them.
"""
