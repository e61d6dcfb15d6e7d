"""Follows the chain: the events of each chain block once, in order, and reorganisations.

The consumer stores a batch's cursor in the transaction that stores the changes of its events; the
next range is read after that. So nothing is lost or counted twice, whatever crashes in between.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import trio

from node.chain.client import ChainClient
from node.chain.cursor import Cursor
from node.chain.errors import BadReply, Busy, DeepReorg, Lagging, Refused, Slow
from node.chain.events import ChainEvent, ChainHead
from node.chain.pulse import Pulse
from node.chain.replies import Head
from protocol.errors import ChainError

log = logging.getLogger(__name__)

#: Blocks of one range at the start, at least and at most: nodes limit ranges, logs and time.
FIRST_CHUNK: Final = 256
MIN_CHUNK: Final = 1
MAX_CHUNK: Final = 4_096

#: A reorganisation is undone up to this far back, blocks, however soon a home calls things final;
#: beyond, a person must look. Half a day of Ethereum, two hours of a chain of two seconds: deeper
#: than any chain with value on it has moved. It costs the trail's eighty rows and no question.
MAX_REORG: Final = 4_096

#: Of a range, headers are compared with logs this near to the head, blocks: an index that lags
#: behind its head by more has been seen nowhere.
CHECKED: Final = 32

#: Looks at a block whose header may hold logs that the node does not show, with growing pauses:
#: about half a minute. Then it is passed, and read again with the blocks that have no bloom.
PATIENCE: Final = 6

#: Blocks without logs, and without a header that says so, are read again until so many follow.
READ_AGAIN: Final = 16

#: Longest pause after failures, seconds.
MAX_PAUSE: Final = 15.0
#: The longest that a node may have this one wait (Retry-After), seconds.
MAX_WANTED: Final = 60.0

#: Seconds between looks while nothing hangs on the chain: a look takes six requests.
IDLE_SECONDS: Final = 20.0

#: A newest block that is as old, or as far ahead of this machine's clock, is odd: the slowest
#: chains have one every few minutes, and nodes refuse what is 15 s ahead.
OLD_HEAD_SECONDS: Final = 600.0
EARLY_HEAD_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Batch:
    """The result of one look at the chain, to be applied in this order and stored with `cursor`.

    First, if `reorg_to` is not None, everything above that block is undone. Then the events, in
    order. Then the head: the last block that was read; older than the chain's while catching up.
    """

    reorg_to: int | None
    events: tuple[ChainEvent, ...]
    head: ChainHead
    cursor: Cursor


@dataclass(frozen=True, slots=True)
class ChainStatus:
    """How it stands with the chain. `head` is the chain node's; None before the first answer.

    `head_time`: that block's own, Unix seconds. `left`: of several chain nodes, what speaks against
    those that are not asked now.
    """

    url: str
    reachable: bool
    head: int | None
    last_error: str
    left: tuple[str, ...] = ()
    head_time: int = 0

    def doubt(self, now: float) -> str:
        """What is odd about the newest block's age at Unix second `now`; empty for nothing.

        Jobs end by the chain's time and rounds by this machine's: where they differ much, a person
        must look.
        """
        if self.head is None or not self.reachable:
            return ""
        age = now - self.head_time
        if age > OLD_HEAD_SECONDS:
            return (
                f"the newest block of the chain, {self.head}, is {age / 60:,.0f} minutes old: the "
                "chain stands still, its node lags, or this machine's clock is fast"
            )
        if age < -EARLY_HEAD_SECONDS:
            return (
                f"the newest block of the chain, {self.head}, is {-age / 60:,.0f} minutes in the "
                "future: this machine's clock is slow"
            )
        return ""


class Watcher:
    """Reads one contract's events from a cursor on. Run `run` once.

    `interval` is the pause between looks, seconds (but see node/chain/pulse.py), `idle` the pause
    while `busy` says no: nothing hangs on the chain then. What `on_batch` raises ends `run`.
    `history`: a cursor that has read nothing begins at most so many blocks before the head, since
    reading a public chain from its first block would take days; None: at its root.
    `on_head` is told the newest block at each look, before anything of it is read.
    """

    def __init__(
        self,
        client: ChainClient,
        cursor: Cursor,
        on_batch: Callable[[Batch], Awaitable[None]],
        interval: float = 0.5,
        history: int | None = None,
        busy: Callable[[], bool] = lambda: True,
        idle: float = IDLE_SECONDS,
        on_head: Callable[[Head], Awaitable[None]] | None = None,
    ) -> None:
        self._client = client
        self._cursor = cursor
        self._history = history
        self._on_batch = on_batch
        self._on_head = on_head
        self._interval = interval
        self._busy = busy
        self._idle = idle
        self._hurried = trio.Event()
        self._pulse = Pulse()
        self._chunk = FIRST_CHUNK
        self._head: Head | None = None
        self._answered = False
        self._error = ""
        #: Looks in a row in which a block showed no logs though its header may hold some.
        self._doubts = 0
        #: Of the range that is being read: blocks that showed no logs, and whose headers do not say
        #: that there are none. With their batch they become the cursor's.
        self._doubtful: set[int] = set()
        #: Some header had a bloom with a bit in it: blooms of no bits are believed.
        self._blooms = False

    def status(self) -> ChainStatus:
        """A snapshot; never waits."""
        head = None if self._head is None else self._head.number
        return ChainStatus(
            url=self._client.url,
            reachable=self._answered and not self._error,
            head=head,
            last_error=self._error,
            left=tuple(problem for _, problem in self._client.nodes if problem),
            head_time=0 if self._head is None else self._head.timestamp,
        )

    async def run(self) -> None:
        """Follow the chain for ever. A node that fails is asked again, more and more slowly."""
        pause, checked = self._interval, False
        while True:
            try:
                if not checked:
                    await self._client.check()
                    checked = True
                more = await self._look()
                pause, self._error, self._doubts = self._interval, "", 0
                self._answered = True
                if more:
                    continue
            except Lagging as error:
                pause, self._error = min(2 * pause, MAX_PAUSE), str(error)
                log.info("%s", error)
                self._client.leave(error)
            except ChainError as error:
                # The node may come back as another one: it is checked again. One that has no room
                # is the same, and has no room for that.
                checked = checked and isinstance(error, Busy)
                pause = min(2 * pause, MAX_PAUSE)
                if isinstance(error, Busy):
                    pause = max(pause, min(error.after, MAX_WANTED))
                if str(error) != self._error:
                    log.warning("the chain is not followed: %s", error)
                self._error = str(error)
            await self._rest(pause)

    def hurry(self) -> None:
        """Look now: something hangs on the chain since a moment ago."""
        self._hurried.set()

    async def _rest(self, pause: float) -> None:
        if self._busy():
            if pause <= self._interval:
                pause = self._pulse.pause(trio.current_time(), pause)
            await trio.sleep(pause)
            return
        self._hurried = trio.Event()
        with trio.move_on_after(max(pause, self._idle)):
            await self._hurried.wait()

    async def _look(self) -> bool:
        """One look; True if there is more to read at once."""
        head = await self._client.head()
        self._head = head
        self._pulse.saw(head.number, head.timestamp, trio.current_time())
        if self._on_head is not None:
            await self._on_head(head)
        if self._cursor.hash is None and self._history is not None:
            self._cursor = Cursor(max(self._cursor.root, head.number - self._history))
        if head.hash == self._cursor.hash:
            return False
        await self._read_again(head)
        reorg_to = None
        if head.parent != self._cursor.hash:
            ancestor = await self._ancestor(head)
            if ancestor is None:
                return False
            if ancestor != self._cursor.number:
                reorg_to = ancestor
        self._doubtful = set()
        base = self._cursor if reorg_to is None else self._cursor.back_to(reorg_to)
        if head.number <= base.number:
            return False  # the chain moved while we looked
        batch = await self._read(base, head, reorg_to)
        if batch is None:
            return False
        if reorg_to is not None:
            log.warning("the chain was reorganised above block %d", reorg_to)
        # Doubts count with their batch: what is read once more was not told yet.
        cursor = batch.cursor.doubting(batch.cursor.unsure | self._doubtful)
        await self._on_batch(dataclasses.replace(batch, cursor=cursor))
        self._cursor = cursor
        return batch.head.number < head.number

    async def _ancestor(self, head: Head) -> int | None:
        """The newest block of the trail that is still the chain's.

        None while the chain is shorter than the trail and contradicts none of it: a node that lags
        behind the one that was asked before, or a chain that was cut and will grow again. Nothing
        is taken back before something stands in its place. Raises DeepReorg.
        """
        contradicted = head.number >= self._cursor.number
        for number, block_hash in reversed(self._cursor.trail):
            if number > head.number:
                continue
            if await self._client.block_hash(number) == block_hash:
                return number if contradicted else None
            contradicted = True
        if not contradicted:
            return None
        if self._cursor.number - self._cursor.root <= MAX_REORG:
            return self._cursor.root
        raise DeepReorg(self._client.url, self._cursor.number, MAX_REORG)

    async def _read(self, base: Cursor, head: Head, reorg_to: int | None) -> Batch | None:
        """The next range as a batch; None if the chain moved meanwhile, or it was too large."""
        first = base.number + 1
        last = min(head.number, first + self._chunk - 1)
        if first == head.number:
            if base.hash is not None and head.parent != base.hash:
                return None
            # By hash: so these are this chain block's events, whatever happens meanwhile (EIP-234).
            events = await self._client.logs_of(head.hash)
            if not events:
                await self._doubt(head)
            return _batch(base, events, head, reorg_to)
        end = head if last == head.number else await self._client.header(last)
        if end is None:
            return None
        try:
            events = await self._client.logs(first, last)
        except (Slow, Refused, BadReply) as error:
            if self._chunk == MIN_CHUNK:
                raise
            self._chunk = max(MIN_CHUNK, self._chunk // 4)
            log.info("smaller ranges, %d blocks: %s", self._chunk, error)
            return None
        # The range was read by number. If its end is where it was, and its start still fits, all of
        # it came from one chain. The chain block of each event must be on it too.
        if await self._client.block_hash(last) != end.hash:
            return None
        for event in {event.block: event for event in events}.values():
            if await self._client.block_hash(event.block) != event.block_hash:
                return None
        if base.hash is not None and await self._client.block_hash(base.number) != base.hash:
            return None
        shown = {event.block for event in events}
        between: list[Head] = []
        for number in range(max(first, head.number - CHECKED), last + 1):
            if number not in shown and not self._busy():
                # No job waits for an event: a second look at the range is enough, in place of a
                # request for each block.
                self._doubtful.add(number)
                continue
            header = end if number == last else await self._client.header(number)
            if header is None or (between and header.parent != between[-1].hash):
                return None
            between.append(header)
            if number not in shown:
                await self._doubt(header)
        self._chunk = min(MAX_CHUNK, self._chunk * 2)
        return _batch(base, events, end, reorg_to, between)

    async def _doubt(self, head: Head) -> None:
        """A block that shows no logs. Raises Lagging while its header says that there may be some.

        Then its receipts decide, where the node gives them; else only patience can.
        """
        self._blooms = self._blooms or any(head.bloom)
        if not head.bloom or not self._blooms:
            self._doubtful.add(head.number)
            return
        if not self._client.may_have_logged(head):
            return
        if await self._client.logged_in(head.hash) is False:
            return
        if self._doubts < PATIENCE:
            self._doubts += 1
            raise Lagging(self._client.url, head.number)
        self._doubtful.add(head.number)

    async def _read_again(self, head: Head) -> None:
        """Tell what the last blocks show by now; late, rather than never.

        A block is looked at once more after the last of the blocks that it waits for, however long
        this node was down.
        """
        due = self._cursor.unsure
        end = self._cursor.trail[-1] if self._cursor.trail else None
        if not due or end is None:
            return
        shown = await self._client.logs(min(due), min(max(due), head.number))
        found = [event for event in shown if event.block in due]
        for event in found:
            if await self._client.block_hash(event.block) != event.block_hash:
                return
        kept = {number for number in due if head.number - number < READ_AGAIN}
        if not found:
            self._cursor = self._cursor.doubting(kept)
            return
        if await self._client.block_hash(end[0]) != end[1]:
            return
        header = await self._client.header(end[0])
        if header is None:
            return
        log.warning("the chain node showed %d events late", len(found))
        # The cursor stays where it is, and so does the head.
        cursor = self._cursor.doubting(kept - {event.block for event in found})
        points = ChainHead(header.number, header.hash, header.timestamp)
        await self._on_batch(Batch(None, tuple(found), points, cursor))
        self._cursor = cursor


def _batch(
    base: Cursor,
    events: list[ChainEvent],
    end: Head,
    reorg_to: int | None,
    between: Sequence[Head] = (),
) -> Batch:
    """`between`: blocks before the end that were seen as well. A reorganisation is found above the
    newest that is left of them, and not above the last event: what it spares stays final."""
    points = {head.number: head.hash for head in (*between, end)}
    return Batch(
        reorg_to=reorg_to,
        events=tuple(events),
        head=ChainHead(end.number, end.hash, end.timestamp),
        cursor=base.advance(
            {event.block: event.block_hash for event in events} | points, MAX_REORG
        ),
    )
