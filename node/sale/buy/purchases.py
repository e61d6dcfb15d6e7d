"""A file that predictions are bought for: prepared, asked row by row, written.

What was bought is kept by the digest of a row's features, so that the same file goes on where it
was, after a crash and under another budget; a row that was bought once is never paid for again.
Rows are asked while somebody waits for them, and not beyond.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import trio

from node.data.reading import Reading
from node.engine.services import Services
from node.perform.encoders import fetching
from node.sale.buy.asking import Buyer
from node.sale.buy.paying import Paying, PayingChannels
from node.sale.market import Market, OnSale
from node.store.sale import channels as stored
from node.work.embedding import Encoders
from node.work.sale import purchases as work
from node.work.sale.purchases import Prepared, Written
from node.workers.compute import in_worker
from protocol import params
from protocol.errors import AssayError, InputError, PeerError, StateError
from protocol.spec.job import decode_spec

log = logging.getLogger("assay.sale")

_DIGEST: Final = 32
#: Files that are open at once: each holds its rows' digests and answers.
_KEPT: Final = 8
#: Asking goes on for so long after a caller last said that it waits, seconds.
_WAITED_FOR: Final = 20.0
#: How long one call waits for progress, seconds.
_CALL_SECONDS: Final = 2.0


@dataclass(slots=True)
class Purchase:
    """One file, for one offer. `results`: a row's answer, None where there is none."""

    ident: str
    on: OnSale
    spec: bytes
    prepared: Prepared
    features: Path
    width: int
    results: list[tuple[int, ...] | None]
    budget: int = 0
    spent: int = 0
    asked: int = 0
    doing: str = ""
    problem: AssayError | None = None
    until: float = 0.0
    #: Cuts off the row that is asked for once nobody has waited for it for long.
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    running: bool = False
    changed: trio.Event = field(default_factory=trio.Event)
    rows_of: dict[bytes, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for row in range(len(self.results)):
            self.rows_of.setdefault(self.digest(row), []).append(row)

    @property
    def open_rows(self) -> list[int]:
        """Rows that are to be asked still, in the file's order; of equal rows the first alone."""
        firsts = (rows[0] for digest, rows in self.rows_of.items() if any(digest))
        return sorted(row for row in firsts if self.results[row] is None)

    def digest(self, row: int) -> bytes:
        """What names a row's features."""
        return self.prepared.digests[_DIGEST * row : _DIGEST * (row + 1)]

    def tell(self, doing: str) -> None:
        """Something has changed."""
        self.doing = doing
        self.changed.set()
        self.changed = trio.Event()


class Purchases:
    """What this node is buying."""

    def __init__(
        self,
        services: Services,
        market: Market,
        buyer: Buyer,
        channels: PayingChannels,
        nursery: trio.Nursery,
    ) -> None:
        self._services = services
        self._market = market
        self._buyer = buyer
        self._channels = channels
        self._nursery = nursery
        self._open: OrderedDict[str, Purchase] = OrderedDict()

    @property
    def folder(self) -> Path:
        """Where rows and CSVs of purchases lie."""
        return self._services.home.path / "purchases"

    async def prepare(self, on: OnSale, file: str, reading: Reading) -> Purchase:
        """Read a file, make its features, and look what of it was bought before. Raises InputError
        (the file, an encoder that its user never added), PeerError where the seller does not give
        the spec."""
        spec = await self._market.spec(on)
        terms = await trio.to_thread.run_sync(decode_spec, spec)
        # Somebody else's program: none is fetched or run but what the user added by itself.
        try:
            fetching.require(self._services, terms)
        except InputError:
            named = "" if terms.encoder is None else terms.encoder.digest.hex()
            lacking = InputError(f"the encoder {named} is not here; its seller may have it", "file")
            lacking.add_note(f"assay encoder fetch 0x{on.offer.digest.hex()[:16]}")
            raise lacking from None
        self.folder.mkdir(mode=0o700, exist_ok=True)
        ident = secrets.token_hex(8)
        features = self.folder / f"{ident}.rows"
        try:
            prepared = await in_worker(
                self._services.compute,
                work.prepare,
                spec,
                Path(file),
                reading,
                params.MAX_OFFER_BATCH,
                features,
                Encoders(self._services.home.blobs),
                aside=terms.encoder is not None,
            )
        except BaseException:
            features.unlink(missing_ok=True)
            raise
        count = len(prepared.lines)
        size = features.stat().st_size
        width = size // count if count else 0
        if width != on.offer.features * work.ROW_NUMBER_BYTES and count:
            features.unlink(missing_ok=True)
            raise PeerError("the offer's features are not those that its job's spec makes")
        bought = Purchase(ident, on, spec, prepared, features, width, [None] * count)
        await self._fill(bought)
        self._open[ident] = bought
        while len(self._open) > _KEPT:
            for old, each in list(self._open.items()):
                if not each.running:
                    self._drop(old)
                    break
            else:
                raise StateError(f"{_KEPT} files are being bought for already")
        return bought

    def find(self, ident: str) -> Purchase:
        """A purchase that was prepared in this life of the node. Raises InputError."""
        found = self._open.get(ident)
        if found is None:
            raise InputError(
                f"no file is being bought for under {ident!r}: the daemon was started again, or "
                "many others came since; the same command goes on where it was",
                "purchase",
            )
        return found

    async def go_on(self, bought: Purchase, budget: int) -> None:
        """Ask on, for as long as callers wait, and spend `budget` at most since it was prepared;
        returns after a moment, or once there is something to say. Raises what asking came to."""
        bought.budget = budget
        bought.until = trio.current_time() + _WAITED_FOR
        bought.scope.deadline = bought.until + _WAITED_FOR
        if not bought.running and bought.problem is None and bought.open_rows:
            bought.running = True
            self._nursery.start_soon(self._run, bought)
        with trio.move_on_after(_CALL_SECONDS):
            while bought.running:
                await bought.changed.wait()
        if bought.problem is not None and not bought.running:
            problem, bought.problem = bought.problem, None
            raise problem

    async def write(self, bought: Purchase) -> tuple[Path, Written]:
        """Write what was bought, as CSV in this home."""
        out = self.folder / f"{bought.ident}.csv"
        offer = bought.on.offer
        written = await in_worker(
            self._services.compute,
            work.write_bought,
            bought.spec,
            offer.mode,
            offer.unit,
            bought.prepared,
            bought.results,
            out,
        )
        return out, written

    def clear(self) -> None:
        """Files of an earlier life of the node; once, at the start."""
        if self.folder.is_dir():
            for path in self.folder.iterdir():
                path.unlink()

    def _drop(self, ident: str) -> None:
        bought = self._open.pop(ident)
        bought.features.unlink(missing_ok=True)
        (self.folder / f"{ident}.csv").unlink(missing_ok=True)

    # --- asking ------------------------------------------------------------------------------

    async def _run(self, bought: Purchase) -> None:
        paying: Paying | None = None
        try:
            for row in bought.open_rows:
                found = await self._channel(bought)
                # Where the budget ends, the channel of the row before is still to be paid over.
                paying = found or paying
                if found is None or trio.current_time() > bought.until:
                    break
                bought.tell("asking")
                # Whoever waits moves the deadline: a row may wait its turn for minutes.
                with trio.CancelScope(deadline=bought.until + _WAITED_FOR) as bought.scope:
                    await self._row(bought, found, row)
                if bought.scope.cancelled_caught:
                    break
                bought.tell("asking")
        except AssayError as error:
            bought.problem = error
        except Exception as error:
            # The seller's bytes lead here, and must not break the daemon.
            log.exception("buying failed")
            bought.problem = PeerError(f"buying failed: {type(error).__name__}; see the log")
        finally:
            bought.running = False
            bought.tell("")
        if paying is not None and not paying.lock.locked():
            try:
                async with paying.lock:
                    await self._channels.pay(paying)
            except AssayError as error:
                log.info("a payment waits: %s", error)

    async def _row(self, bought: Purchase, paying: Paying, row: int) -> None:
        """One row, after the query that an earlier life of the node left open."""
        if paying.state.query is not None:
            await self._counted(bought, paying, None)
            await self._fill(bought)
        if bought.results[row] is None:
            await self._counted(bought, paying, await self._features(bought, row))
            digest = bought.digest(row)
            for each in bought.rows_of[digest]:
                bought.results[each] = paying.state.last

    async def _counted(self, bought: Purchase, paying: Paying, features: bytes | None) -> None:
        before = paying.state.answered
        try:
            await self._buyer.ask(paying, features)
        finally:
            answered = paying.state.answered - before
            bought.asked += answered
            bought.spent += answered * paying.state.price

    async def _channel(self, bought: Purchase) -> Paying | None:
        """A channel for one more row; None where the budget does not allow it."""
        offer = bought.on.offer
        if any(c.state.garbage and c.offer.account == offer.account for c in self._channels.all()):
            raise PeerError(
                "an answer of this seller did not open: its signed bytes are kept, and nothing "
                "more is asked of it or paid"
            )
        left = bought.budget - bought.spent
        if left < offer.price:
            return None
        found = self._channels.usable(offer)
        if found is None and not self._channels.resumed.is_set():
            # A second deposit beside one that is on its way would be asked over by nobody.
            bought.tell("a channel that was being opened is waited for")
            await self._channels.resumed.wait()
            found = self._channels.usable(offer)
        if found is not None:
            return found
        rows = min(len(bought.open_rows), left // offer.price)
        deposit = rows * offer.price
        return await self._channels.open(bought.on, deposit, bought.tell)

    async def _fill(self, bought: Purchase) -> None:
        """Take over what was bought of the offer."""
        answers = await self._services.store.read(
            partial(stored.answers, offer=bought.on.offer.digest)
        )
        for row in range(len(bought.results)):
            if bought.results[row] is None:
                bought.results[row] = answers.get(bought.digest(row))

    async def _features(self, bought: Purchase, row: int) -> bytes:
        def read() -> bytes:
            with bought.features.open("rb") as file:
                return os.pread(file.fileno(), bought.width, row * bought.width)

        return await trio.to_thread.run_sync(read)
