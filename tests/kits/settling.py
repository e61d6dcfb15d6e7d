"""A job that finished with three rounds and merit, and the settlements of it, good and bad."""

from __future__ import annotations

from typing import Any

from kits.bounty import HOUR, Book, World, book, honest, owner
from protocol.books.settlement import SettledAccount, Settlement
from protocol.books.trees import Merit, SumTree

DAY = 24 * HOUR
WINDOW = 3 * DAY
#: Of three rounds of at most four; the rate is 100, the pot 1000.
BOOKS = [book(0, owner(1), owner(2), owner(3)), book(1, owner(1), owner(3)), book(2, owner(2))]
MERIT = [Merit(owner(1), 600), Merit(owner(4), 400)]
GOOD = honest(BOOKS, MERIT)
EARNED = {1: 200 + 600, 2: 200, 3: 200, 4: 400}


def finished(world: World, books: list[Book] = BOOKS, **changes: Any) -> bytes:
    """A job that finished and closed, its merit by MERIT."""
    job = world.post(**changes)
    for listed in books:
        world.commit(job, listed)
    world.send(world.finishing(job, SumTree(MERIT)))
    world.close(job)
    return job


def got(world: World) -> dict[int, int]:
    return {number: world.ether(owner(number)) for number in EARNED}


def altered(number: int, **changes: int) -> Settlement:
    """GOOD with one account's leaf changed."""
    accounts = list(GOOD.accounts)
    place = GOOD.position_of(owner(number))
    assert place is not None
    kept = accounts[place]
    accounts[place] = SettledAccount(
        kept.account, changes.get("rounds", kept.rounds), changes.get("merit", kept.merit)
    )
    return Settlement(accounts)
