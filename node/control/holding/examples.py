"""Examples of the methods that hold a node back."""

from __future__ import annotations

import dataclasses
from typing import Final

from node.control import examples as ex
from node.control.holding import results as h

PAUSED: Final = h.Held(True, "this node is paused (assay resume goes on)", 1)
RESUMED: Final = h.Held(False, "", 1)
LEFT: Final = dataclasses.replace(
    ex.SUMMARY, reason="you left it: no attempt is begun on this node any more"
)
