"""Transactions that happen once: stored with their signature before they are sent.

An intent is a call that the daemon wants made on the chain, under an id that its caller chose. The
transactions of one intent share one nonce, so that at most one of them can be mined, whatever
crashes, is lost or reorganised. A new nonce is taken only when the old one is gone for good.

    queued -> stored -> sent -> mined -> final        (or failed: mined, and reverted)
    queued -> failed                                  (refused by simulation; no nonce was used)
    queued -> superseded                              (given up by the caller)
    mined -> sent                                     (the block was reorganised away)
    final, failed -> sent                             (the same, deeper than final: taken back)
    sent -> queued                                    (the nonce was used elsewhere, at depth)
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import trio

from node.chain.client import ChainClient
from node.chain.errors import Busy, NoContract
from node.chain.intents import rows
from node.chain.intents.rows import Owner, Row, Store, Wanted
from node.chain.intents.sequencer import IntentPolicy, Sequencer
from node.chain.signer import Signer
from protocol.errors import ChainError, FatalError, InputError

log = logging.getLogger(__name__)

#: Longest pause after failures, seconds.
_MAX_PAUSE: Final = 15.0


@dataclass(frozen=True, slots=True)
class Intent:
    """A call of the contract to be made once. `id` is the caller's, as 'job/ab12/commit/3'.

    `args` as the contract's ABI has them: addresses 20 bytes, tuples as sequences; `value` in wei.
    With `to` (20 bytes) it is a call of another contract, or a payment: `args` is then its calldata
    alone, and `function` a word for people. `needs` is the id of an intent that must be mined
    before this one is sent; where that one fails, this one does. `max_fee` bounds what is offered,
    wei per gas, where the setting is not to hold.
    """

    id: str
    function: str
    args: tuple[Any, ...]
    value: int = 0
    to: bytes | None = None
    needs: str = ""
    max_fee: int | None = None


@dataclass(frozen=True, slots=True)
class IntentOutcome:
    """Where an intent stands: `error` says why it failed, or what it waits for; else empty.

    `taken_back`: how it was told to have ended before a reorganisation took that back; else empty.
    """

    id: str
    state: str
    tx_hash: bytes | None
    block: int | None
    gas_used: int | None
    error: str
    taken_back: str = ""

    @property
    def settled(self) -> bool:
        return self.state in rows.TERMINAL


async def _untold(_: IntentOutcome) -> None:
    """For callers that look at the table themselves."""


class Intents:
    """One account's sequencer of nonces. Run `run` once; everything else may be called meanwhile.

    `on_outcome` is awaited for each of mined, final, failed, superseded, and for sent when a block
    was reorganised away, however deep. It is called at least once for each, also after a crash; a
    second call must do no harm.
    """

    def __init__(
        self,
        client: ChainClient,
        signer: Signer,
        store: Store,
        policy: IntentPolicy | None = None,
        on_outcome: Callable[[IntentOutcome], Awaitable[None]] = _untold,
    ) -> None:
        if client.contract is None:
            raise NoContract(client.url, bytes(20))
        self._client = client
        self._signer = signer
        self._store = store
        self._policy = policy or IntentPolicy()
        self._on_outcome = on_outcome
        self._owner = Owner(client.chain_id, signer.account, client.contract)
        self._wake = trio.Event()
        self._changed = trio.Event()
        self._sequencer = Sequencer(client, signer, store, self._owner, self._policy)
        #: Why nothing moves, for a person; empty while the chain answers.
        self.last_error = ""

    # --- for callers ------------------------------------------------------------------------

    async def submit(self, intent: Intent) -> IntentOutcome:
        """Store an intent; on disk when this returns. The same intent again changes nothing.

        Raises InputError if it cannot be encoded, or if its id stands for something else.
        """
        insert = self.prepare(intent)

        def write(tx: Any) -> Row | None:
            insert(tx)
            return rows.get(tx, intent.id)

        row = await self._store.run(write)
        self._wake.set()
        if row is None:
            raise FatalError(f"intent {intent.id!r} vanished from the store")
        return _outcome(row)

    def prepare(self, *intents: Intent) -> Callable[[Any], None]:
        """What stores intents, in order, inside a transaction of the caller's; `wake` comes after
        it. Raises InputError as `submit` does, before anything is written."""
        wanted = [self._wanted(each) for each in intents]

        def write(tx: Any) -> None:
            for each in wanted:
                rows.insert(tx, self._owner, each)

        return write

    def _wanted(self, intent: Intent) -> Wanted:
        if not 1 <= len(intent.id) <= rows.MAX_ID:
            raise InputError(f"1 to {rows.MAX_ID} characters", "intent")
        if not 0 <= intent.value < 2**256:
            raise InputError(f"{intent.value} wei", "intent.value")
        if intent.to is None:
            args = self._client.codec.encode(intent.function, intent.args)
        else:
            args = b"".join(intent.args)
        if len(args) > rows.MAX_CALLDATA:
            raise InputError(f"{len(args)} bytes of calldata", "intent.args")
        return Wanted(
            intent.id,
            intent.function,
            args,
            intent.value,
            intent.to,
            intent.needs,
            intent.max_fee,
        )

    async def give_up(self, ident: str, why: str) -> bool:
        """Drop an intent of which nothing was ever signed; False if it is too late for that."""
        dropped = await self._store.run(lambda tx: rows.set_superseded(tx, ident, why))
        self._wake.set()
        return dropped

    async def get(self, ident: str) -> IntentOutcome | None:
        row = await self._store.read(lambda tx: rows.get(tx, ident))
        return None if row is None else _outcome(row)

    async def settled(self, ident: str) -> IntentOutcome:
        """Wait until an intent is final, failed or superseded. Raises KeyError if there is none."""
        while True:
            changed = self._changed
            outcome = await self.get(ident)
            if outcome is None:
                raise KeyError(ident)
            if outcome.settled:
                return outcome
            await changed.wait()

    async def under_way(self, prefix: str) -> list[str]:
        """The ids with a prefix of intents that have not ended yet, in their order."""
        found = await self._store.read(lambda tx: rows.live(tx, self._owner))
        return [
            row.id for row in found if row.id.startswith(prefix) and row.state not in rows.TERMINAL
        ]

    def reopen(self, tx: Any, above: int) -> int:
        """Follow again what ended above a block; in the transaction that takes its events back.

        `wake` comes after it.
        """
        return rows.reopen(tx, self._owner, above)

    def wake(self) -> None:
        """Look at the chain at once."""
        self._wake.set()

    # --- the loop ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Carry intents out, for ever. A chain that fails is waited for."""
        pause, checked, looked_at = self._policy.interval, False, b""
        while True:
            forced = self._wake.is_set()
            self._wake = wake = trio.Event()
            if not await self._store.read(lambda tx: rows.live(tx, self._owner)):
                await wake.wait()
                continue
            try:
                if not checked:
                    await self._client.check()
                    checked = True
                head = await self._client.head()
                if forced or head.hash != looked_at:
                    await self._sequencer.step(head)
                    looked_at = head.hash
                pause, self.last_error = self._policy.interval, ""
            except ChainError as error:
                checked, looked_at = checked and isinstance(error, Busy), b""
                pause = min(2 * pause, _MAX_PAUSE)
                if str(error) != self.last_error:
                    log.warning("intents wait: %s", error)
                self.last_error = str(error)
            await self._tell()
            with trio.move_on_after(pause):
                await wake.wait()

    # --- telling ----------------------------------------------------------------------------

    async def _tell(self) -> None:
        """Tell what is new, then note that it was told: a crash in between tells it again."""
        news = False
        for row in await self._store.read(lambda tx: rows.live(tx, self._owner)):
            told = row.told == rows.MINED or row.told in rows.TERMINAL
            back = told and row.state in (rows.STORED, rows.SENT, rows.QUEUED)
            if row.told == row.state or not (
                back or row.state == rows.MINED or row.state in rows.TERMINAL
            ):
                continue
            news = True
            await self._on_outcome(_outcome(row))
            await self._store.run(partial(rows.set_told, seq=row.seq, state=row.state))
        if news:
            self._changed.set()
            self._changed = trio.Event()


def _outcome(row: Row) -> IntentOutcome:
    gone = row.told in rows.TERMINAL and row.state not in rows.TERMINAL
    return IntentOutcome(
        row.id, row.state, row.tx_hash, row.block, row.gas_used, row.error, row.told if gone else ""
    )
