"""One account's nonces: transactions stored before they are sent, followed until they are final.

All transactions of one intent share one nonce, so that at most one of them can be mined. A new
nonce is taken only when the old one is gone for good.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import trio

from node.chain.client import ChainClient
from node.chain.errors import Refused, Reverted
from node.chain.fees import GWEI, Fees, TooDear
from node.chain.intents import rows
from node.chain.intents.nonces import user_of
from node.chain.intents.rows import Owner, Row, Signed, Store
from node.chain.replies import Head, Receipt
from node.chain.signer import Signer, hash_of
from node.chain.views import PAY
from protocol.addresses import to_checksum
from protocol.amounts import format_about

log = logging.getLogger(__name__)

#: Gas limit over the estimate: transactions of ours that still wait may change the state.
_GAS_MARGIN_PERCENT: Final = 30

#: Gas that a call may use. The contract's own work is within half of it (docs/spec/contract.md has
#: the figures; a claim's grows with its proofs). Only code of the account that is paid can use the
#: rest. It must not spend our ether, nor fill a chain block, which would jam every nonce behind it.
_GAS_ALLOWED: Final = 500_000
_GAS_ALLOWED_PER_BYTE: Final = 64

#: And for each account that `pay` pays: 12,000, or 37,000 where it never held ether. Payees of 256
#: that burn their stipends (100,000 each) would pass it: then claims are made instead.
_GAS_ALLOWED_PER_PAYEE: Final = 50_000
#: Where `pay`'s calldata has their number, behind the selector: its fourth word.
_PAYEES: Final = slice(4 + 3 * 32, 4 + 4 * 32)

#: What one transaction may have at most, whatever a block holds (EIP-7825). A node takes none that
#: has more, and every nonce behind it would wait.
_GAS_OF_A_TRANSACTION: Final = 1 << 24
#: How nodes word that a call cannot succeed with all the gas that one may have.
_NO_GAS: Final = ("exceeds allowance", "out of gas", "gas limit")

#: Replacements under one nonce: 1.25^12 is 14 times the first fee.
_MAX_REPLACEMENTS: Final = 12

#: What bounds an offer, for people.
_LIMIT: Final = "chain.max_fee_gwei (or --max-fee)"

#: Gas of a transfer that calls nothing (EIP-2), and its function's name.
_TRANSFER_GAS: Final = 21_000
_TRANSFER: Final = ""


@dataclass(frozen=True, slots=True)
class IntentPolicy:
    """How intents are followed; block counts and seconds.

    depth: blocks on top of a transaction's own until it is final.
    stuck_blocks: blocks that a transaction waits before its fee is raised.
    interval: between looks at the chain while something is under way.
    max_fee: the most that is ever offered, wei per gas.
    """

    depth: int = 2
    stuck_blocks: int = 5
    interval: float = 0.5
    max_fee: int = 200 * GWEI


class Sequencer:
    """Moves the intents of one owner along, a look at a time. Not to be called concurrently."""

    def __init__(
        self, client: ChainClient, signer: Signer, store: Store, owner: Owner, policy: IntentPolicy
    ) -> None:
        self._client = client
        self._signer = signer
        self._store = store
        self._owner = owner
        self._policy = policy
        #: Blocks at which a transaction was first seen waiting, and a gap first seen open.
        self._waiting: dict[bytes, int] = {}
        self._gap: tuple[int, int] | None = None
        #: The block at which an account was first seen to have used fewer nonces than it had.
        self._short: int | None = None

    async def step(self, head: Head) -> None:
        """One look at each intent. Raises ChainError where the node fails; nothing is lost then."""
        count = await self._client.nonce(self._signer.account)
        if not await self._whole(head, count):
            return
        signed = [row for row in await self._live() if row.nonce is not None]
        for row in sorted(signed, key=lambda row: row.nonce or 0):
            await self._follow(row, head, count)
        if signed:
            await self._close_gap(signed, head, count)
        waits = False
        for row in await self._live():
            if row.state == rows.QUEUED and not await self._launch(row, head, count, waits):
                waits = True

    async def _whole(self, head: Head, count: int) -> bool:
        """Whether the chain still holds all that ended on it; what it lost is followed again.

        The count of nonces shows it, at no cost. A node that lags shows the same: so a second head
        must, and no nonce is given out meanwhile.
        """
        gone = await self._store.read(lambda tx: rows.taken_back(tx, self._owner, count))
        if not gone:
            self._short = None
            return True
        if self._short is None:
            self._short = head.number
        if head.number <= self._short:
            return False
        for row in gone:
            log.error("intent %s: %s", row.id, rows.TAKEN_BACK)
            await self._store.run(partial(rows.set_sent, seq=row.seq, error=rows.TAKEN_BACK))
        self._short = None
        return True

    async def _live(self) -> list[Row]:
        found = await self._store.read(lambda tx: rows.live(tx, self._owner))
        return [row for row in found if row.state not in rows.TERMINAL]

    # --- from queued to sent ----------------------------------------------------------------

    async def _launch(self, row: Row, head: Head, count: int, waits: bool) -> bool:
        """Simulate, sign, store, send: True. An obstacle is noted and the intent tried again.

        Where an earlier one `waits`, this one goes only if the chain stands where it did: a block
        that came in between may be what the earlier one waited for, and be overtaken.
        """
        account = self._signer.account
        if row.needs and not await self._comes_next(row):
            return False
        others = await self._live()
        try:
            gas = await self._client.estimate(account, row.to, row.args, row.value)
        except Reverted as error:
            await self._refuse(row, head, error.reason, others)
            return False
        except Refused as error:
            if row.function == PAY and any(words in error.text.lower() for words in _NO_GAS):
                # Claims do the same in smaller parts: it need not wait for another node.
                await self._refuse(row, head, error.text, others)
            else:
                await self._trouble(row, await self._why_refused(row, error))
            return False
        allowed = _GAS_ALLOWED + _GAS_ALLOWED_PER_BYTE * len(row.args)
        if row.function == PAY and row.recipient is None:
            allowed += _GAS_ALLOWED_PER_PAYEE * int.from_bytes(row.args[_PAYEES], "big")
        allowed = min(allowed, _GAS_OF_A_TRANSACTION)
        if gas > allowed:
            reason = f"it would use {gas} gas, more than the {allowed} that the contract can need"
            await self._refuse(row, head, reason, others)
            return False
        gas = min(gas + gas * _GAS_MARGIN_PERCENT // 100, _GAS_OF_A_TRANSACTION)
        fees = await self._client.fees()
        balance = await self._client.balance(account)
        try:
            max_fee, _ = fees.offer(self._limit(row))
        except TooDear as error:
            await self._trouble(row, str(error))
            return False
        cost = row.value + gas * max_fee
        if balance < cost:
            await self._trouble(row, _lacks(account, balance, cost))
            return False
        if waits and (await self._client.head()).hash != head.hash:
            return False
        taken = [other.nonce + 1 for other in others if other.nonce is not None]
        await self._begin(row, max([count, *taken]), gas, fees)
        return True

    async def _comes_next(self, row: Row) -> bool:
        """Whether what an intent waits for is on the chain: a later nonce then stays behind it.

        An intent whose forerunner failed can only fail: it is refused at once.
        """
        before = await self._store.read(lambda tx: rows.get(tx, row.needs))
        if before is None or before.state in (rows.MINED, rows.FINAL):
            return True
        if before.state in (rows.FAILED, rows.SUPERSEDED):
            text = f"{before.function} came to nothing: {before.error}"
            await self._store.run(lambda tx: rows.set_refused(tx, row.seq, text))
        return False

    def _limit(self, row: Row) -> int:
        """The most that is offered for it, wei per gas."""
        return self._policy.max_fee if row.max_fee is None else row.max_fee

    async def _begin(self, row: Row, nonce: int, gas: int, fees: Fees) -> None:
        """Sign and store, then send; not if the intent was given up meanwhile."""
        max_fee, tip = fees.offer(self._limit(row))
        signed = await self._sign(row, nonce, gas, max_fee, tip)
        if await self._store.run(lambda tx: rows.put_signed(tx, row.seq, signed, rows.QUEUED)):
            await self._send(row, signed)

    async def _sign(self, row: Row, nonce: int, gas: int, max_fee: int, tip: int) -> Signed:
        transaction = {
            "type": 2,
            "chainId": self._owner.chain_id,
            "nonce": nonce,
            "gas": gas,
            "maxFeePerGas": max_fee,
            "maxPriorityFeePerGas": tip,
            "to": self._signer.account if row.function == _TRANSFER else row.to,
            "value": row.value,
            "data": row.args,
        }
        # In a thread: the first signature imports eth_account (0.5 s), each takes milliseconds.
        raw = await trio.to_thread.run_sync(self._signer.sign_transaction, transaction)
        return Signed(hash_of(raw), nonce, max_fee, tip, gas, raw)

    async def _send(self, row: Row, signed: Signed) -> None:
        """Hand over a stored transaction. Nodes word 'already known' in many ways. So after a
        refusal the node is asked by hash whether it holds the transaction."""
        error = ""
        try:
            await self._client.send(signed.raw)
        except Refused as refused:
            if not await self._client.knows(signed.hash):
                error = await self._why_refused(row, refused)
        if not error:
            await self._store.run(lambda tx: rows.set_sent(tx, row.seq))
        elif error != row.error:
            await self._trouble(row, error)

    async def _refuse(self, row: Row, head: Head, reason: str, others: Sequence[Row]) -> None:
        """The contract says no, or takes too much. It is believed once nothing of ours that waits
        could change that, and for `depth` blocks: a reorganisation could."""
        text = f"{row.function} was refused: {reason}"
        if any(other.state in (rows.STORED, rows.SENT) for other in others):
            await self._store.run(lambda tx: rows.set_trouble(tx, row.seq, None, text))
            return
        since = head.number if row.since is None else row.since
        if head.number - since >= self._policy.depth:
            await self._store.run(lambda tx: rows.set_refused(tx, row.seq, text))
        else:
            await self._store.run(lambda tx: rows.set_trouble(tx, row.seq, since, text))

    async def _why_refused(self, row: Row, error: Refused) -> str:
        balance = await self._client.balance(self._signer.account)
        if balance < row.value:
            return _lacks(self._signer.account, balance, row.value)
        return str(error)

    async def _trouble(self, row: Row, error: str) -> None:
        if error == row.error:
            return
        log.warning("intent %s waits: %s", row.id, error)
        await self._store.run(lambda tx: rows.set_trouble(tx, row.seq, None, error))

    # --- from sent to final -----------------------------------------------------------------

    async def _follow(self, row: Row, head: Head, count: int) -> None:
        if not row.signed:
            text = "its transaction became another intent's: it is signed anew"
            await self._store.run(lambda tx: rows.set_queued(tx, row.seq, text))
            return
        for signed in reversed(row.signed):
            receipt = await self._client.receipt(signed.hash)
            if receipt is not None:
                await self._mined(row, signed, receipt, head)
                return
        if row.state == rows.MINED:
            text = f"block {row.block} shows it no more: reorganised away, or the node lags"
            await self._store.run(lambda tx: rows.set_sent(tx, row.seq, text))
        newest = row.signed[-1]
        if row.nonce is not None and count > row.nonce:
            await self._lost(row, row.nonce, head)
            return
        since = self._waiting.setdefault(newest.hash, head.number)
        if count == row.nonce and head.number - since >= self._policy.stuck_blocks:
            await self._replace(row, newest)
        elif not await self._client.knows(newest.hash):
            await self._send(row, newest)

    async def _mined(self, row: Row, signed: Signed, receipt: Receipt, head: Head) -> None:
        for sibling in row.signed:
            self._waiting.pop(sibling.hash, None)
        deep = head.number - receipt.block >= self._policy.depth
        state = rows.MINED if not deep else rows.FINAL if receipt.ok else rows.FAILED
        if (row.state, row.block, row.tx_hash) == (state, receipt.block, receipt.tx_hash):
            return
        error = "" if receipt.ok else await self._why_reverted(row, signed, receipt)
        await self._store.run(
            lambda tx: rows.set_mined(
                tx,
                row.seq,
                state,
                receipt.tx_hash,
                receipt.block,
                receipt.gas_used,
                receipt.gas_price,
                error,
            )
        )

    async def _why_reverted(self, row: Row, signed: Signed, receipt: Receipt) -> str:
        """Run it again on the state before its block: a receipt holds no reason."""
        text = f"{row.function} reverted in block {receipt.block}"
        if receipt.gas_used >= signed.gas:
            return f"{text}: out of gas ({signed.gas})"
        try:
            await self._client.run(
                self._signer.account, row.to, row.args, row.value, at=receipt.block - 1
            )
        except Reverted as error:
            return f"{text}: {error.reason}"
        except Refused:
            return f"{text}: the node no longer holds the state that says why"
        return f"{text}: something earlier in that block changed the answer"

    async def _lost(self, row: Row, nonce: int, head: Head) -> None:
        """The nonce is used, and no receipt says that one of ours did.

        A node's index of receipts may lag, so the chain block that used the nonce says by what. A
        new nonce is safe only when a foreign transaction did, that is final, and seen at two heads:
        then none of ours can be mined any more.
        """
        text = f"nonce {nonce} was used by another transaction of this account"
        at = head.number - self._policy.depth
        if at < 0 or await self._client.nonce(self._signer.account, at) <= nonce:
            return
        if row.since is None or head.number <= row.since:
            await self._store.run(lambda tx: rows.set_trouble(tx, row.seq, head.number, text))
            return
        found = await user_of(self._client, self._signer.account, nonce, at)
        if found is None or found[1] in {signed.hash for signed in row.signed}:
            text = (
                f"mined in block {found[0]}; the chain node has no receipt of it yet"
                if found
                else f"nonce {nonce} is used, and the chain node does not hold the blocks that "
                "tell by what: set chain.url to a node that keeps older states"
            )
            if text != row.error:
                log.warning("intent %s waits: %s", row.id, text)
                await self._store.run(lambda tx: rows.set_trouble(tx, row.seq, row.since, text))
            return
        log.warning("intent %s: %s: it is signed anew", row.id, text)
        await self._store.run(lambda tx: rows.set_queued(tx, row.seq, text))

    async def _replace(self, row: Row, old: Signed) -> None:
        """Offer more for the same nonce; both hashes are watched, one can be mined."""
        fees = await self._client.fees()
        limit = self._limit(row)
        try:
            max_fee, tip = fees.raised(old.max_fee, old.tip, limit)
        except TooDear as error:
            await self._trouble(row, str(error))
            return
        if max_fee > limit or len(row.signed) > _MAX_REPLACEMENTS:
            offer = f"{old.max_fee / GWEI:.4g} gwei per gas"
            why = f"not mined at {offer}; a higher offer passes {_LIMIT}"
            if max_fee <= limit:
                why = f"not mined at {offer}, raised {_MAX_REPLACEMENTS} times"
            await self._trouble(row, why)
            return
        signed = await self._sign(row, old.nonce, old.gas, max_fee, tip)
        if await self._store.run(lambda tx: rows.put_signed(tx, row.seq, signed, row.state)):
            log.info("intent %s: fee raised to %.4g gwei per gas", row.id, max_fee / GWEI)
            await self._send(row, signed)

    async def _close_gap(self, signed: Sequence[Row], head: Head, count: int) -> None:
        """A nonce below all of ours that nobody fills, because a foreign transaction was
        reorganised away. Ours cannot move to it (both could be mined), so a transfer of nothing
        fills it."""
        lowest = min(row.nonce for row in signed if row.nonce is not None)
        if count >= lowest:
            self._gap = None
            return
        if self._gap is None or self._gap[0] != count:
            self._gap = (count, head.number)
        if head.number - self._gap[1] < self._policy.stuck_blocks:
            return
        ident = f"{rows.GAP}{count}/{head.number}"

        def write(tx: Any) -> Row | None:
            rows.insert(tx, self._owner, rows.Wanted(ident, _TRANSFER, b"", 0))
            return rows.get(tx, ident)

        row = await self._store.run(write)
        if row is None or row.state != rows.QUEUED:
            return
        log.warning("closing the gap at nonce %d", count)
        await self._begin(row, count, _TRANSFER_GAS, await self._client.fees())


def _lacks(account: bytes, balance: int, cost: int) -> str:
    return (
        f"account {to_checksum(account)} has {format_about(balance)} and may need "
        f"{format_about(cost, up=True)}: send it ether"
    )
