"""The library: `from node.client import connect`. Jobs as objects, models as arrays, tables.

Nothing but the control socket: what a program can do here, `assay rpc` can. `node.client.trio` has
the same for trio. It imports console/ and control/'s shapes, and of the rest nothing but where a
home lies.
"""

from node.client.job import Job
from node.client.models import Model
from node.client.node import Node, connect
from node.console.failure import Failure
from node.console.talk import CallError, NoDaemon

__all__ = ["CallError", "Failure", "Job", "Model", "NoDaemon", "Node", "connect"]
