"""What an owner sees of its own data: columns as they are, and how a job's spec fits them.

For the owner's eyes alone, over the control socket: nothing here may reach a peer, and nothing is
decided by it. Only workers import it.
"""
