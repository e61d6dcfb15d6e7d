"""The chain's clock: the wall's, and whatever somebody set it ahead by."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from node.devnet.records import LedgerError

#: How far it may be set ahead of the wall's, seconds: ten years.
MAX_AHEAD: Final = 10 * 366 * 86_400


class ChainClock:
    """Unix seconds for new blocks. `wall` gives the machine's. Safe for threads."""

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._ahead = 0
        self._lock = threading.Lock()

    def now(self) -> int:
        return int(self._wall()) + self._ahead

    def advance(self, seconds: int) -> int:
        """Set it ahead, so that a contract's deadline need not be waited for.

        Returns how many seconds ahead it is then. Raises LedgerError where that is too far.
        """
        with self._lock:
            left = MAX_AHEAD - self._ahead
            if not 0 <= seconds <= left:
                raise LedgerError(
                    f"the clock can be set ahead by 0 to {left} s more, not {seconds}"
                )
            self._ahead += seconds
            return self._ahead
