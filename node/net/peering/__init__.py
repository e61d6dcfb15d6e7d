"""Company: the lines to peers, the address book, whom to dial and to ask.

node/net/rules decides, and here is carried out. It may import those rules, `arrivals`, `gossip`,
`host` and `muxer` of node/net, and protocol; `assemble` puts it into a node.
"""
