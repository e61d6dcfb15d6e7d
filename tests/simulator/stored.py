"""A job as a node of the simulator keeps it: the state in parts, as a daemon's store has it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from protocol.machines.round import Role
from protocol.wire.codec import Wire
from protocol.wire.parts import Part, changes, head, join

_MAX = 1 << 24


@dataclass
class Stored:
    """What is on the disk. A first state has no parts."""

    role: Role
    spec: bytes
    head: bytes
    parts: dict[tuple[str, int], bytes] = field(default_factory=dict)
    effects: dict[int, bytes] = field(default_factory=dict)

    def keep(self, before: Wire, after: Wire) -> None:
        """Write what changed. `before` is what is kept."""
        self.head = head(after)
        for part in changes(before, after):
            if part.body:
                self.parts[part.field, part.place] = part.body
            else:
                del self.parts[part.field, part.place]

    def read(self, cls: type[Any]) -> Any:
        """The state that is kept."""
        parts = [Part(*at, body) for at, body in self.parts.items()]
        return join(cls, self.head, parts, _MAX)
