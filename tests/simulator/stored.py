"""A job as a node of the simulator keeps it: the state in parts, as a daemon's store has it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from protocol.machines.round import Role
from protocol.wire.codec import Wire
from protocol.wire.parts import Part, changes, head, join

_MAX = 1 << 24

Backup = tuple[bytes, dict[tuple[str, int], bytes]]


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

    def backup(self) -> Backup:
        """The state as it is kept now."""
        return self.head, dict(self.parts)

    def put_back(self, backup: Backup) -> None:
        """An earlier state, in the place of what is kept."""
        self.head, self.parts = backup[0], dict(backup[1])

    def read(self, cls: type[Any]) -> Any:
        """The state that is kept."""
        parts = [Part(*at, body) for at, body in self.parts.items()]
        return join(cls, self.head, parts, _MAX)
