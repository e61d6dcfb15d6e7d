"""What this home has, currency by currency, and what moves of it by its user's word.

The methods of the control socket that are about money; node/api.py has them as its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

import trio

from node.chain.tokens import reading
from node.control import wire
from node.control.money import results as r
from node.engine.engine import Machine
from node.engine.services import Services
from node.jobs.earnings import Earned, earned, told_of
from node.jobs.paying import plan
from node.jobs.payments import Payment, Payments
from node.privacy.budgets import job_spent
from protocol.addresses import parse_address, to_checksum
from protocol.books import receipts
from protocol.errors import InputError
from protocol.spec.parts import ETHER
from protocol.spec.toml import parse_toml
from protocol.tokens import currency


class MoneyCalls:
    """Calls of node.control.api.NodeApi that are about money.

    `find` finds a job as people name it.
    """

    def __init__(self, services: Services, find: Callable[[str], Machine]) -> None:
        self._money = services
        self._job = find
        self._payments = Payments(services)

    async def account(self) -> r.Account:
        services, own = self._money, self._money.keys.account
        rate: Counter[bytes] = Counter()
        merit: Counter[bytes] = Counter()
        for line in await self._earned(batches=False):
            (merit if line.round is None else rate)[line.token] += line.due - line.paid
        paying = (m.context.spec.payment.token for m in services.engine.machines.values())
        named = (token.address for token in services.tokens())
        # Each currency once, the coin first, in an order that stays.
        found = []
        for token in dict.fromkeys([ETHER, *named, *paying]):
            found.append(await self._currency(token, rate[token], merit[token]))
        payout = services.config.payout or own
        return r.Account(to_checksum(own), to_checksum(payout), tuple(found))

    async def _currency(self, token: bytes, rate: int, merit: int) -> r.Currency:
        chain, own = self._money.chain, self._money.keys.account
        if token == ETHER:
            return r.Currency(None, await chain.balance(own), rate, merit, 0, "")
        named, balance, allowed, problem = to_checksum(token), None, 0, ""
        try:
            balance = await reading.balance(chain, token, own)
            allowed = await reading.allowance(chain, token, own, self._money.domain.contract)
        except InputError as error:
            problem = str(error)
        return r.Currency(named, balance, rate, merit, allowed, problem)

    async def job_quote(self, spec: str, no_noise: bool = False) -> r.Quote:
        draft = parse_toml(spec, no_noise, self._money.tokens())
        await self._money.chain.check()
        return (await plan(self._money, draft.terms)).shown()

    async def send(
        self,
        id: str,
        to: str,
        amount: int,
        token: str | None = None,
        max_fee: int | None = None,
        dry_run: bool = False,
    ) -> r.Sent:
        payment = Payment(
            id, parse_address(to, "to"), amount, ETHER if token is None else parse_address(token)
        )
        return await self._payments.send(payment, max_fee, dry_run)

    async def token_revoke(self, id: str, token: str) -> r.Sent:
        return await self._payments.revoke(id, parse_address(token, "token"))

    async def earnings(self, job: str | None = None, signed: bool = False) -> r.Earnings:
        machine = None if job is None else self._job(job)
        found = await self._earned(None if machine is None else machine.key)
        told: dict[bytes, float | None] = {}
        for key in dict.fromkeys(line.job for line in found):
            told[key] = await job_spent(self._money, self._money.engine.machines[key])
        lines = tuple(self._line(line, told[line.job]) for line in found)
        text = await trio.to_thread.run_sync(self._receipts, lines) if signed else ""
        return r.Earnings(lines, text)

    def _line(self, line: Earned, epsilon: float | None) -> r.Earning:
        spec = self._money.engine.machines[line.job].context.spec
        return r.Earning(
            job="0x" + line.job.hex(),
            title=spec.title,
            requester=to_checksum(spec.requester.account),
            round=line.round,
            block=line.at,
            batch=line.batch or None,
            bytes=line.size,
            epsilon=epsilon,
            account=to_checksum(line.account),
            token=currency(line.token),
            due=line.due,
            paid=line.paid,
            transaction="0x" + line.transaction.hex() if line.transaction else "",
        )

    def _receipts(self, lines: tuple[r.Earning, ...]) -> str:
        """A signed file. Signing takes milliseconds, and imports what signs."""
        services = self._money
        head = {
            "account": to_checksum(services.keys.account),
            "chain_id": services.chain.chain_id,
            "contract": to_checksum(services.domain.contract),
        }
        rows = [dict(wire.encode(line, r.Earning)) for line in lines]  # type: ignore[arg-type]
        made = receipts.chain_lines(head, rows)
        return receipts.seal(made, services.keys.sign_digest(receipts.signed_digest(made)))

    async def _earned(self, only: bytes | None = None, batches: bool = True) -> list[Earned]:
        """Every line; with `only` those of one job."""
        services = self._money
        known = tuple(services.engine.machines) if only is None else (only,)
        told = await services.store.read(partial(told_of, wanted=known))
        return await trio.to_thread.run_sync(earned, services, told, batches)
