"""How a token job comes to be posted: what it takes, and the approval that it needs.

The contract takes the escrow itself (`transferFrom`), so it must be allowed to: by a permit of
exactly the escrow that goes along with the posting, where the token takes permits; else by one
approval of exactly that, sent before. Approval and posting are two intents that are stored together
with the job, so that a crash in between neither doubles nor loses one (docs/adr/0208).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Final

from node.chain.errors import Busy, Refused
from node.chain.fees import TooDear
from node.chain.intents.intents import Intent
from node.chain.tokens import calls, permits, reading
from node.control.money.results import Quote
from node.engine.services import Services
from node.perform.chain import APPROVE, post_intent
from protocol.addresses import to_checksum
from protocol.amounts import format_about
from protocol.cost.gas import PERMIT, job_gas
from protocol.errors import ChainError, InputError
from protocol.machines.job import JobPhase
from protocol.machines.machine import JobContext
from protocol.requester.state import RequesterState
from protocol.spec.job import Terms
from protocol.spec.parts import ETHER
from protocol.tokens import currency

log = logging.getLogger("assay.chain")

#: The contract's function that takes a permit along.
POST_PERMITTED: Final = "post_permitted"


@dataclass(frozen=True, slots=True)
class Plan:
    """What posting takes now. `allowance` is what the contract may take already, `approves` whether
    it must be allowed the escrow first, `domain` under which a permit does that in its place, if
    the token takes permits; `whole` whether this home pays whole rounds, where the contract can;
    `problem` is what stands in the way, empty if nothing does. Amounts are in the token's smallest
    unit, `fee` in wei per gas, `coin` in wei.
    """

    terms: Terms
    balance: int | None
    allowance: int
    fee: int
    coin: int
    problem: str
    domain: bytes | None = None
    whole: bool = True

    @property
    def lacks(self) -> bool:
        """An allowance that covers the escrow is left as it is: it only shrinks by it."""
        return self.terms.payment.token != ETHER and self.allowance < self.terms.escrow

    @property
    def approves(self) -> bool:
        return self.lacks and self.domain is None

    @property
    def gas(self) -> int:
        """About what is used before anybody has enrolled."""
        found = job_gas(self.terms)
        if self.approves:
            return found.posting
        return found.post + (PERMIT if self.lacks else 0)

    def shown(self) -> Quote:
        """As the control socket has it."""
        token, job = self.terms.payment.token, job_gas(self.terms, whole=self.whole)
        return Quote(
            token=currency(token),
            escrow=self.terms.escrow,
            merit=self.terms.payment.merit,
            merit_by=self.terms.payment.merit_by.value,
            balance=self.balance,
            allowance=self.allowance,
            approves=self.approves,
            gas=self.gas,
            gas_job=job.all - job.posting + self.gas,
            fee=self.fee,
            coin=self.coin,
            problem=self.problem,
        )


async def plan(
    services: Services, terms: Terms, max_fee: int | None = None, *, permit: bool = True
) -> Plan:
    """Look at account and token. Raises ChainError where the chain node fails.

    `max_fee`: the most to offer, wei per gas, if not the setting. `permit`: whether one may be
    planned with. None is signed here.
    """
    chain, token, own = services.chain, terms.payment.token, services.keys.account
    coin, problem, fee = await chain.balance(own), "", 0
    whole = services.config.whole_rounds
    limit = max_fee or services.config.max_fee
    try:
        fee, _ = (await chain.fees()).offer(limit)
    except TooDear as error:
        problem = str(error)
    if token == ETHER:
        made = Plan(terms, coin, 0, fee, coin, problem, whole=whole)
        return replace(made, problem=problem or _lacks(services, made))
    try:
        await reading.check_code(chain, token)
        balance = await reading.balance(chain, token, own)
        allowance = await reading.allowance(chain, token, own, services.domain.contract)
    except InputError as error:
        return Plan(terms, None, 0, fee, coin, problem or str(error), whole=whole)
    made = Plan(terms, balance, allowance, fee, coin, problem, whole=whole)
    if permit and made.lacks:
        made = replace(made, domain=await permits.domain(chain, token))
    problem = problem or _lacks(services, made) or _under_way(services, token)
    if not problem and made.approves:
        problem = await _rehearsed(services, made)
    return replace(made, problem=problem)


def grant(services: Services, made: Plan, job: bytes) -> Intent | None:
    """The approval of exactly the escrow that must come before the posting; None if none must."""
    if not made.approves:
        return None
    data = calls.approve(services.domain.contract, made.terms.escrow)
    return Intent(f"{job.hex()}/{APPROVE}/0", APPROVE, (data,), to=made.terms.payment.token)


async def intents(
    services: Services, made: Plan, context: JobContext, max_fee: int | None
) -> list[Intent]:
    """The posting, with the permit or behind the approval that it needs, if it needs one.

    Raises ChainError where a permit that was planned with does not work, and an approval neither.
    """
    post = post_intent(context)
    if made.domain is not None:
        permitted = await _permitted(services, made, made.domain, post)
        if permitted is not None:
            return [replace(permitted, max_fee=max_fee)]
        made = await plan(services, made.terms, max_fee, permit=False)
        refuse(made)
    before = grant(services, made, context.job)
    if before is None:
        return [replace(post, max_fee=max_fee)]
    return [
        replace(before, max_fee=max_fee),
        replace(post, needs=before.id, max_fee=max_fee),
    ]


async def _permitted(services: Services, made: Plan, domain: bytes, post: Intent) -> Intent | None:
    """The posting with a permit of exactly the escrow, which ends with the job; None where the
    token does not take it. It is tried before it is sent, because tokens say much."""
    chain, token, own = services.chain, made.terms.payment.token, services.keys.account
    try:
        nonce = await permits.nonce(chain, token, own)
    except InputError:
        return None
    words = own, services.domain.contract, made.terms.escrow, nonce, post.args[-1]
    signed = services.keys.sign_digest(permits.digest(domain, *words))
    args = (*post.args, signed[64], signed[:32], signed[32:64])
    try:
        data = chain.codec.encode(POST_PERMITTED, args)
        await chain.run(own, services.domain.contract, data)
    except Busy:
        raise
    except Refused as error:  # Reverted, or out of gas: nodes word it in many ways
        log.info(
            "the token %s takes no permit (%s): an approval is sent", to_checksum(token), error
        )
        return None
    return replace(post, function=POST_PERMITTED, args=args)


def _lacks(services: Services, made: Plan) -> str:
    terms, tokens = made.terms, services.tokens()
    token, gas = terms.payment.token, made.gas * made.fee
    held = made.balance or 0
    if held < terms.escrow:
        return (
            f"the bounty locks up {tokens.shown(terms.escrow, token)}, "
            f"this account has {tokens.shown(held, token)}"
        )
    left = made.coin - (terms.escrow if token == ETHER else 0)
    if left < gas:
        return (
            f"posting uses about {made.gas:,} gas, which may cost {format_about(gas, up=True)}; "
            f"this account has {format_about(max(0, left))} for it: send it ether"
        )
    return ""


def _under_way(services: Services, token: bytes) -> str:
    """Two postings at once would each count on the same allowance."""
    for machine in services.engine.machines.values():
        state, paying = machine.state, machine.context.spec.payment.token
        if (
            isinstance(state, RequesterState)
            and state.phase is JobPhase.POSTING
            and paying == token
            and not machine.broken
        ):
            return (
                f"job 0x{machine.key.hex()[:12]} is being posted in the same token: wait until it "
                "is on the chain (assay jobs)"
            )
    return ""


async def _rehearsed(services: Services, made: Plan) -> str:
    token, own = made.terms.payment.token, services.keys.account
    data = calls.approve(services.domain.contract, made.terms.escrow)
    try:
        await reading.rehearse(services.chain, token, own, data)
    except InputError as error:
        if made.allowance:
            # Some tokens change no allowance that is not zero (Tether's on Ethereum).
            left = services.tokens().shown(made.allowance, token)
            return (
                f"{error}; the contract may still take {left}, which it may have to be zero first: "
                f"assay token revoke {to_checksum(token)}"
            )
        return str(error)
    return ""


def refuse(made: Plan) -> None:
    """Raise ChainError where something stands in the way."""
    if made.problem:
        error = ChainError(made.problem)
        error.add_note("assay account shows the account, and what it holds")
        raise error
