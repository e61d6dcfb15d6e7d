"""Who has dialled this node, until it is one of its peers: the door, and the first word.

node/net/rules decides, and here they wait. It may import those rules, `guard` of node/net, and
protocol: gossip, streams and the address book ask here.
"""
