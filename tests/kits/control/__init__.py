"""A control server in front of a node that is not there, and raw talk to it."""
