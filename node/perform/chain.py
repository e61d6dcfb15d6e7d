"""Effects on the chain: reads are repeated until they succeed, transactions become intents."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, Final, TypeVar

import trio

from node.chain.intents import rows
from node.chain.intents.intents import Intent, IntentOutcome
from node.chain.views import PAY
from node.engine.engine import Wanted
from node.engine.services import Services
from node.store import records
from protocol.books import evidence, lists
from protocol.books.enrolment import job_id
from protocol.books.evidence import ClaimProof, Claims, Evidence
from protocol.books.lists import Leaf
from protocol.books.trees import Merit
from protocol.books.typed_data import Commitment, commitment_digest
from protocol.books.whole import whole_pays
from protocol.errors import ChainError, FatalError
from protocol.machines import effects, inputs
from protocol.machines.machine import JobContext, one_line
from protocol.requester.state import RequesterState
from protocol.spec.parts import ETHER

log = logging.getLogger("assay.chain")

T = TypeVar("T")

#: The event of a job whose transaction was final and is not on the chain any more.
TAKEN_BACK: Final = "transaction-taken-back"

#: Marks a claim's part that others follow; no account's and no round's digits have such a letter.
_PART: Final = "part"

#: What a job's posting may need before it; no machine wants it by itself.
APPROVE: Final = "approve"

#: The prefix of ids of payments that a person asked for; no job's digits begin so.
PAYMENT: Final = "pay/"

#: The prefix of ids of what is done with channels (node.sale); no job's digits begin so, either.
CHANNEL: Final = "channel/"

_PAUSE, _MAX_PAUSE = 1.0, 15.0


async def _until_answered(ask: Callable[[], Awaitable[T]]) -> T:
    """A chain that is down or slow is an ordinary event: ask again, more and more slowly."""
    pause = _PAUSE
    while True:
        try:
            return await ask()
        except ChainError as error:
            log.info("the chain is asked again: %s", error)
            await trio.sleep(pause)
            pause = min(2 * pause, _MAX_PAUSE)


async def read_job(services: Services, wanted: Wanted, effect: effects.ReadJob) -> None:
    """The terms that the contract holds. The spec's digest is part of the job's id."""
    context = wanted.machine.context
    view = await _until_answered(lambda: services.chain.job(context.job))
    if view is None:
        nobody = bytes(20)
        outcome = inputs.ChainJob(
            services.clock.ms(), False, nobody, bytes(32), nobody, 0, 0, 0, 0, 0
        )
    else:
        same = job_id(services.domain, view.requester, context.spec_digest) == context.job
        outcome = inputs.ChainJob(
            services.clock.ms(),
            True,
            view.requester,
            context.spec_digest if same else bytes(32),
            view.token,
            view.rounds,
            view.cohort,
            view.rate,
            view.merit_left,
            view.closes,
        )
    await services.engine.feed(wanted.machine.key, outcome, wanted.id)


async def read_block_hash(
    services: Services, wanted: Wanted, effect: effects.ReadBlockHash
) -> None:
    """The hash of a chain block that must exist: the machine saw a later head."""

    async def ask() -> bytes:
        found = await services.chain.block_hash(effect.number)
        if found is None:
            raise ChainError(f"block {effect.number} is not there yet")
        return found

    found = await _until_answered(ask)
    outcome = inputs.ChainBlockHash(services.clock.ms(), effect.number, found)
    await services.engine.feed(wanted.machine.key, outcome, wanted.id)


async def sign_commitment(
    services: Services, wanted: Wanted, effect: effects.SignCommitment
) -> None:
    """EIP-712 by the account's key: deterministic, so that a repetition changes nothing."""
    commitment = Commitment(
        wanted.machine.key,
        effect.round,
        effect.root,
        effect.count,
        effect.model_digest,
        effect.valid_until,
    )
    signature = services.keys.sign_digest(commitment_digest(services.domain, commitment))
    outcome = inputs.CommitmentSigned(
        services.clock.ms(), effect.round, effect.root, effect.valid_until, signature
    )
    await services.engine.feed(wanted.machine.key, outcome, wanted.id)


async def transact(services: Services, wanted: Wanted, effect: effects.Transact) -> None:
    """Store the intent; its outcome comes when the chain has it (`settled`)."""
    for intent in await _intents(services, wanted, effect):
        posted = isinstance(effect, effects.TransactPost)
        if posted and await services.intents.get(intent.id) is not None:
            # Stored with the job, with a permit or behind an approval that it needs.
            services.intents.wake()
            continue
        await services.intents.submit(intent)
    await services.engine.complete(wanted.id)


async def _intents(services: Services, wanted: Wanted, effect: effects.Transact) -> list[Intent]:
    """One intent, or a payment's parts: the machine is told of the last (`settled`)."""
    if isinstance(effect, effects.TransactPay):
        state = _requester(wanted)
        found = await trio.to_thread.run_sync(_pay_intents, services, wanted, state)
        return found or await _claim_intents(services, wanted, state.unpaid)
    if isinstance(effect, effects.TransactClaim):
        return await _claim_intents(services, wanted, (effect.account,))
    return [_intent(services, wanted, effect)]


def _pay_intents(services: Services, wanted: Wanted, state: RequesterState) -> list[Intent]:
    """The payment of all rounds, and of merit with the first; none where the contract cannot, or
    where this home's user wants claims."""
    if not services.config.whole_rounds:
        return []
    context, job = wanted.machine.context, wanted.machine.key
    rounds, finished = _books(services, state)
    merit = () if finished is None else finished.merit
    entries = [Merit(share.account, share.amount) for share in merit]
    listed = [leaves for _, leaves in rounds]
    calls = whole_pays(context.require_cohort(), listed, entries)
    intents: list[Intent] = []
    for number, call in enumerate(calls, start=1):
        args = (job, call.first, call.rounds, call.accounts, call.merits, call.lists)
        before = intents[-1].id if intents else ""
        mark = f"{number}.{len(calls)}"
        intents.append(Intent(f"{job.hex()}/{PAY}/{mark}", PAY, args, needs=before))
    return intents


async def _claim_intents(
    services: Services, wanted: Wanted, accounts: Iterable[bytes]
) -> list[Intent]:
    """The claims' parts. A payment that becomes claims is an effect for each account, all at one
    time: the job's lists are read, and their trees built, once for all of these."""
    context, state = wanted.machine.context, _requester(wanted)

    def read() -> Claims:
        return Claims(context.require_cohort(), *_books(services, state))

    def made(claims: Claims) -> list[Intent]:
        return [each for account in accounts for each in _parts(context.job, claims.of(account))]

    async with services.claims.of((context.job, state.evidence_digest, state.settling), read) as it:
        return await trio.to_thread.run_sync(made, it)


def _parts(job: bytes, proof: ClaimProof) -> Iterator[Intent]:
    """The intents of one account's claim."""
    parts = evidence.split_claim(proof)
    for number, part in enumerate(parts, start=1):
        mark = proof.account.hex() if number == len(parts) else _part(proof.account, number)
        args = (job, proof.account, *claim_args(part))
        yield Intent(f"{job.hex()}/claim/{mark}", "claim", args)


def _part(account: bytes, number: int) -> str:
    """The mark of a claim's part that others follow."""
    return f"{account.hex()}.{_PART}{number}"


def _intent(services: Services, wanted: Wanted, effect: effects.Transact) -> Intent:
    context, job = wanted.machine.context, wanted.machine.key

    def intent(function: str, mark: str, *args: Any) -> Intent:
        return Intent(f"{job.hex()}/{function}/{mark}", function, args)

    match effect:
        case effects.TransactPost():
            return post_intent(context)
        case effects.TransactEnrol():
            return intent("enrol", str(effect.index), job, effect.root, effect.count)
        case effects.TransactCommit():
            # A later deadline is another transaction; the contract takes one of both. The signature
            # went to the owners; the requester's own transaction needs none.
            mine = services.keys.account == context.spec.requester.account
            return intent(
                "commit",
                f"{effect.round}.{effect.valid_until}",
                job,
                effect.round,
                effect.root,
                effect.count,
                effect.model_digest,
                effect.valid_until,
                b"" if mine else effect.signature,
            )
        case effects.TransactFinish():
            pot = context.spec.payment.merit if _contributed(wanted) else 0
            return intent(
                "finish",
                "0",
                job,
                effect.model_digest,
                effect.evidence_digest,
                effect.merit_root,
                pot,
            )
        case effects.TransactCancel():
            return intent("cancel", "0", job)
        case effects.TransactWithdraw():
            return intent("withdraw", str(effect.turn), job)
        case effects.TransactClaim() | effects.TransactPay():
            raise FatalError("a payment may be several intents: `_intents` makes them")


def post_intent(context: JobContext) -> Intent:
    """The posting of a job, as its machine wants it."""
    spec = context.spec
    terms = (
        context.spec_digest,
        spec.payment.token,
        spec.training.rounds,
        spec.cohort.max_owners,
        spec.payment.rate,
        spec.payment.merit,
        spec.expires_at,
    )
    ether = spec.payment.token == ETHER
    return Intent(f"{context.job.hex()}/post/0", "post", terms, spec.escrow if ether else 0)


def _requester(wanted: Wanted) -> RequesterState:
    state = wanted.machine.state
    if not isinstance(state, RequesterState):
        raise FatalError("only a requester's machine transacts")
    return state


def _contributed(wanted: Wanted) -> bool:
    return bool(_requester(wanted).records)


def _books(
    services: Services, state: RequesterState
) -> tuple[list[tuple[int, tuple[Leaf, ...]]], Evidence | None]:
    """The rounds' contributions, by number, and the evidence of a job that finished."""
    blobs = services.blobs
    rounds = [
        (
            r.number,
            lists.leaves(lists.decode_contributions(blobs.get(services.blob(r.list_digest)))),
        )
        for r in state.records
    ]
    books = evidence.decode_evidence(blobs.get(services.blob(state.evidence_digest)))
    return rounds, None if state.settling else books


def claim_args(proof: ClaimProof) -> tuple[Any, Any]:
    """`claim`'s payments and merit, as the contract's ABI has them."""
    merit = (
        proof.merit_position,
        proof.merit,
        [(node.hash, node.total) for node in proof.merit_proof],
    )
    return evidence.encode_payments(proof.rounds), merit


def claim_mark(proof: ClaimProof, turn: int) -> str:
    """The mark of a claim that a person asks for, beside the claim that the machine makes.

    It follows from what the claim pays, because one id stands for one call: after more rounds, or
    after a refusal, it is another claim.
    """
    rounds = sum(1 << each.round for each in proof.rounds)
    return f"{proof.account.hex()}.{rounds:x}.{int(proof.merit > 0)}.{turn}"


async def settled(services: Services, outcome: IntentOutcome) -> None:
    """An intent's end, told to the machine that wanted it."""
    if outcome.id.startswith(rows.GAP):
        return  # the sequencer's own
    if outcome.id.startswith((PAYMENT, CHANNEL)):
        return  # its caller asks for it
    if outcome.taken_back:
        await _taken_back(services, outcome)
        return
    job, function, mark = outcome.id.split("/", 2)
    if function == APPROVE:
        return  # the posting that needs it ends with it
    call = inputs.Call(function)
    account = bytes.fromhex(mark.partition(".")[0]) if call is inputs.Call.CLAIM else b""
    told: inputs.TransactionFinal | inputs.TransactionFailed
    if outcome.state == "final":
        if call is inputs.Call.PAY and not _last(mark):
            return  # the last one needs it
        if call is inputs.Call.CLAIM and not await _whole(services, job, account, mark):
            return
        told = inputs.TransactionFinal(services.clock.ms(), call, account)
    elif outcome.state in ("failed", "superseded"):
        reason = one_line(outcome.error or outcome.state)
        told = inputs.TransactionFailed(services.clock.ms(), call, account, reason)
    else:
        return
    await services.engine.feed(bytes.fromhex(job), told)


def _last(mark: str) -> bool:
    """Whether a payment of whole rounds is the last of its job's."""
    number, _, count = mark.partition(".")
    return number == count


async def _whole(services: Services, job: str, account: bytes, mark: str) -> bool:
    """Whether all parts of the claim that the machine makes are final, which pays the account.

    A claim that a person asked for is whole by itself.
    """
    whole = account.hex()
    if mark != whole and f".{_PART}" not in mark:
        return True
    last, number = await services.intents.get(f"{job}/claim/{whole}"), 1
    while last is not None and last.state == "final":
        part = await services.intents.get(f"{job}/claim/{_part(account, number)}")
        if part is None:
            return True
        last, number = part, number + 1
    return False


async def _taken_back(services: Services, outcome: IntentOutcome) -> None:
    """A transaction whose end was told is gone with its chain block: the job's books say so.

    The machine is told nothing: the transaction is sent again, and its end comes again.
    """
    job, function, _ = outcome.id.split("/", 2)
    was = outcome.taken_back
    text = f"{function} was {was}, and a reorganisation took its chain block back: it is sent again"
    log.error("job %s: %s", job[:16], text)
    facts = {"text": text, "intent": outcome.id, "was": was}
    await services.store.run(
        lambda tx: records.add_event(tx, bytes.fromhex(job), TAKEN_BACK, facts)
    )
