"""What several effects want at one time, made once for all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import trio

T = TypeVar("T")


@dataclass
class _Held(Generic[T]):
    lock: trio.Lock = field(default_factory=trio.Lock)
    made: list[T] = field(default_factory=list)
    users: int = 0


class Shared(Generic[T]):
    """A value for each key, while anybody uses it; nothing is kept after the last one."""

    def __init__(self) -> None:
        self._held: dict[Hashable, _Held[T]] = {}

    @asynccontextmanager
    async def of(self, key: Hashable, make: Callable[[], T]) -> AsyncIterator[T]:
        """The key's value, made in a worker thread by the first that asks; where that fails, the
        next one makes it. It is read by several at once, so nobody may change it."""
        held = self._held.setdefault(key, _Held())
        held.users += 1
        try:
            async with held.lock:
                if not held.made:
                    held.made.append(await trio.to_thread.run_sync(make))
            yield held.made[0]
        finally:
            held.users -= 1
            if not held.users:
                del self._held[key]
