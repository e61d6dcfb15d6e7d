# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
"""
@title Bounties for training
@custom:contract-name bounty
@license Apache-2.0
@author The authors of assay
@notice A requester escrows pay for rounds of training. A round's commitment,
        signed by the requester and put here by anybody, binds the contract to
        pay every contribution under its root, for ever. docs/spec/contract.md
        states the rules.
@dev Nobody owns this contract; there is no upgrade, no fee and no stake.

     Solvency. `held` is what the contract holds for a job. Money enters it in
     `post` alone and leaves it in `claim` and `withdraw` alone, by checked
     subtraction, so that a job can never spend another job's money, whatever
     its trees say. Within a job the liabilities are at most `held` at every
     step: `post` escrows them in full, `commit` turns reserve into rate owed,
     `claim` lowers both sides by what it pays, and `withdraw` takes only what
     lies above. Jobs in one token share that token's balance: a token that
     shrinks balances on its own can fail all jobs in it, and no others.

     Reentrancy. Every function that moves money updates storage first, calls
     out last, and holds the lock; `post` is the exception, whose pull of
     tokens must be measured on both sides of the call.
"""


from . import ledger
from . import money
from . import signing
from . import trees


initializes: ledger


exports: ledger.__interface__


struct Payment:
    round: uint16
    position: uint16
    block_index: uint16
    roster_digest: bytes32
    contribution_digest: bytes32
    proof: DynArray[bytes32, trees.MAX_DEPTH]


struct Merit:
    position: uint16
    # Zero claims no merit.
    amount: uint256
    proof: DynArray[trees.SumNode, trees.MAX_DEPTH]


_MERIT_BIT: constant(uint256) = 1 << 255


event Posted:
    job: indexed(bytes32)
    requester: indexed(address)
    spec_digest: bytes32
    token: address
    rounds: uint16
    cohort: uint16
    rate: uint256
    merit: uint256
    expiry: uint64


event Enrolled:
    job: indexed(bytes32)
    index: uint16
    root: bytes32
    count: uint16


event Committed:
    job: indexed(bytes32)
    round: uint16
    root: bytes32
    count: uint16
    model_digest: bytes32
    submitter: address


event Finished:
    job: indexed(bytes32)
    model_digest: bytes32
    evidence_digest: bytes32
    merit_root: bytes32
    merit_total: uint256


event Cancelled:
    job: indexed(bytes32)
    effective: uint64


event Claimed:
    job: indexed(bytes32)
    account: indexed(address)
    amount: uint256
    rounds_bits: uint256
    merit: uint256


event Withdrawn:
    job: indexed(bytes32)
    amount: uint256


@deploy
def __init__():
    """
    @dev There is nothing to set: no owner, no parameters.
    """
    pass


@external
@payable
@nonreentrant
def post(
    spec_digest: bytes32,
    token: address,
    rounds: uint16,
    cohort: uint16,
    rate: uint256,
    merit: uint256,
    expiry: uint64,
) -> bytes32:
    """
    @notice Posts a job and escrows rounds * cohort * rate + merit.
    @dev The id covers the sender, so that nobody can take another's id.
    @param spec_digest The digest of the job's spec.
    @param token The ERC-20 token that pays; zero for ether.
    @param rounds The largest number of rounds, 1 to 255.
    @param cohort The largest number of contributions in a round, 1 to 4096.
    @param rate What each contribution is paid.
    @param merit The pot for measured worth.
    @param expiry The moment, in seconds, from which the job accepts nothing.
    @return bytes32 The job's id.
    """
    job: bytes32 = ledger._job_id(msg.sender, spec_digest)
    assert ledger.jobs[job].requester == empty(address), "bounty: posted already"
    assert rounds != 0 and convert(rounds, uint256) <= ledger.MAX_ROUNDS, "bounty: rounds not in 1 to 255"
    assert cohort != 0 and convert(cohort, uint256) <= ledger.MAX_COHORT, "bounty: cohort not in 1 to 4096"
    assert convert(expiry, uint256) > block.timestamp, "bounty: expiry is past"

    escrow: uint256 = convert(rounds, uint256) * convert(cohort, uint256) * rate + merit
    ledger.jobs[job].requester = msg.sender
    ledger.jobs[job].token = token
    ledger.jobs[job].rounds = rounds
    ledger.jobs[job].cohort = cohort
    ledger.jobs[job].rate = rate
    ledger.jobs[job].merit = merit
    ledger.jobs[job].closes = expiry
    ledger.jobs[job].merit_left = merit
    ledger.jobs[job].held = escrow
    log Posted(
        job=job,
        requester=msg.sender,
        spec_digest=spec_digest,
        token=token,
        rounds=rounds,
        cohort=cohort,
        rate=rate,
        merit=merit,
        expiry=expiry,
    )
    money._pull(token, escrow)
    return job


@external
@nonreentrant
def enrol(job: bytes32, root: bytes32, count: uint16):
    """
    @notice Stores the root of owners that joined the job. Roots never change;
            later owners come under a later root.
    @dev Blocks of owners follow from this root and a later block's hash, which
         the log's block number tells.
    @param job The job's id.
    @param root The root of the index tree over the owners' enrolments.
    @param count The number of owners under it.
    """
    ledger._require_requester(job)
    ledger._require_open(job)
    assert root != empty(bytes32), "bounty: root is empty"
    assert count != 0, "bounty: count is zero"
    enrolled: uint256 = convert(ledger.jobs[job].enrolled, uint256) + convert(count, uint256)
    assert enrolled <= convert(ledger.jobs[job].cohort, uint256), "bounty: cohort is full"

    index: uint16 = ledger.jobs[job].enrolments
    ledger.jobs[job].enrolments = index + 1
    ledger.jobs[job].enrolled = convert(enrolled, uint16)
    ledger.enrolments[job][index] = ledger.Enrolment(root=root, count=count)
    log Enrolled(job=job, index=index, root=root, count=count)


@external
@nonreentrant
def commit(
    job: bytes32,
    round: uint16,
    root: bytes32,
    count: uint16,
    model_digest: bytes32,
    valid_until: uint64,
    signature: Bytes[65],
):
    """
    @notice Stores a round's commitment, which nothing can change or take back.
            Anybody may submit it: the requester's signature is what counts.
    @dev `count` becomes owed here, at once, and whatever the tree holds, no
         more than `count` can be paid for the round.
    @param job The job's id.
    @param round The round, from zero; rounds come in order.
    @param root The root of the index tree over the round's contributions.
    @param count The number of contributions, 1 to the job's cohort.
    @param model_digest The digest of the model that was contributed to.
    @param valid_until The last moment, in seconds, of the commitment's validity.
    @param signature The requester's EIP-712 signature, r, s, v.
    """
    ledger._require_posted(job)
    ledger._require_open(job)
    assert round == ledger.jobs[job].next_round, "bounty: not the next round"
    assert round < ledger.jobs[job].rounds, "bounty: no rounds left"
    assert root != empty(bytes32), "bounty: root is empty"
    assert count != 0 and count <= ledger.jobs[job].cohort, "bounty: count not in 1 to cohort"
    until: uint256 = convert(valid_until, uint256)
    assert block.timestamp <= until, "bounty: commitment has expired"
    assert until <= block.timestamp + ledger.MAX_VALIDITY, "bounty: commitment is valid for too long"
    digest: bytes32 = signing._commitment_digest(
        job, round, root, count, model_digest, valid_until
    )
    assert signing._signer(digest, signature) == ledger.jobs[job].requester, "bounty: not signed by the requester"

    ledger.jobs[job].next_round = round + 1
    ledger.jobs[job].contributions += convert(count, uint32)
    ledger.jobs[job].unpaid += convert(count, uint32)
    ledger.rounds[job][round] = ledger.Round(root=root, model_digest=model_digest, count=count)
    log Committed(
        job=job,
        round=round,
        root=root,
        count=count,
        model_digest=model_digest,
        submitter=msg.sender,
    )


@external
@nonreentrant
def finish(
    job: bytes32,
    model_digest: bytes32,
    evidence_digest: bytes32,
    merit_root: bytes32,
    merit_total: uint256,
):
    """
    @notice Ends the job well. Merit goes where its sum tree says; what was
            escrowed for rounds that did not happen is the requester's again.
    @dev Without a contribution the merit is the requester's again, and the
         total must be zero. A total of zero has the empty root.
    @param job The job's id.
    @param model_digest The digest of the final model.
    @param evidence_digest The digest of the evidence for the merit.
    @param merit_root The root hash of the sum tree over merit.
    @param merit_total The root's total: the whole pot.
    """
    ledger._require_requester(job)
    ledger._require_open(job)
    pot: uint256 = 0
    if ledger.jobs[job].contributions != 0:
        pot = ledger.jobs[job].merit
    assert merit_total == pot, "bounty: merit total is not the pot"
    assert (merit_root == empty(bytes32)) == (pot == 0), "bounty: merit root does not fit the pot"

    ledger.jobs[job].finished = True
    ledger.jobs[job].merit_left = pot
    ledger.jobs[job].merit_root = merit_root
    log Finished(
        job=job,
        model_digest=model_digest,
        evidence_digest=evidence_digest,
        merit_root=merit_root,
        merit_total=merit_total,
    )


@external
@nonreentrant
def cancel(job: bytes32):
    """
    @notice Closes the job after NOTICE. Until then commitments are accepted
            and the job may still finish.
    @dev Refused where the job closes sooner anyway, by its expiry or by an
         earlier cancellation.
    @param job The job's id.
    """
    ledger._require_requester(job)
    ledger._require_open(job)
    effective: uint256 = block.timestamp + ledger.NOTICE
    assert effective < convert(ledger.jobs[job].closes, uint256), "bounty: closes sooner already"

    ledger.jobs[job].closes = convert(effective, uint64)
    log Cancelled(job=job, effective=convert(effective, uint64))


@external
@nonreentrant
def claim(job: bytes32, account: address, payments: DynArray[Payment, ledger.MAX_ROUNDS], merit: Merit):
    """
    @notice Pays an account for its contributions, and its merit. Anybody may
            send the claim; the money goes to the account.
    @dev Rounds and merit that were paid before are ignored, so that two claims
         that overlap both go through; a claim with nothing to pay reverts.
         Where a job closed without `finish`, equal shares of the merit follow
         for all rounds that the account was ever paid for, named or not.
    @param job The job's id.
    @param account The account that stands in the leaves, and is paid.
    @param payments One proof for each round to be paid, in any order.
    @param merit The proof of the account's merit; an amount of zero for none.
    """
    ledger._require_posted(job)
    before: uint256 = ledger.paid[job][account]
    after: uint256 = before
    number: uint256 = 0
    for payment: Payment in payments:
        committed: ledger.Round = ledger.rounds[job][payment.round]
        # Rounds end at 254, so that no payment can reach the merit's bit.
        assert committed.count != 0, "bounty: round is not committed"
        bit: uint256 = 1 << convert(payment.round, uint256)
        if after & bit != 0:
            continue
        leaf: bytes32 = trees._contribution_leaf(
            account, payment.block_index, payment.roster_digest, payment.contribution_digest
        )
        assert trees._is_at(
            committed.root,
            convert(committed.count, uint256),
            convert(payment.position, uint256),
            leaf,
            payment.proof,
        ), "bounty: contribution is not under the round's root"
        after |= bit
        number += 1
    rounds_bits: uint256 = after ^ before

    worth: uint256 = 0
    if ledger.jobs[job].finished:
        if merit.amount != 0 and after & _MERIT_BIT == 0:
            root: trees.SumNode = trees._sum_root(
                convert(merit.position, uint256), account, merit.amount, merit.proof
            )
            assert root.hash == ledger.jobs[job].merit_root, "bounty: merit is not under the root"
            assert root.total == ledger.jobs[job].merit, "bounty: merit does not add up to the pot"
            worth = merit.amount
            after |= _MERIT_BIT
    else:
        assert merit.amount == 0, "bounty: merit without finish"
        if ledger._is_closed(job):
            due: uint256 = after & ~ledger.shared[job][account]
            if due != 0:
                share: uint256 = ledger.jobs[job].merit // convert(ledger.jobs[job].contributions, uint256)
                worth = share * ledger._ones(due)
                ledger.shared[job][account] = after
    assert rounds_bits != 0 or worth != 0, "bounty: nothing to pay"

    amount: uint256 = number * ledger.jobs[job].rate + worth
    ledger.paid[job][account] = after
    # Checked subtractions: the two liabilities and the job's own money bound
    # what its trees can prove.
    ledger.jobs[job].unpaid -= convert(number, uint32)
    ledger.jobs[job].merit_left -= worth
    ledger.jobs[job].held -= amount
    log Claimed(job=job, account=account, amount=amount, rounds_bits=rounds_bits, merit=worth)
    money._push(ledger.jobs[job].token, account, amount)


@external
@nonreentrant
def withdraw(job: bytes32):
    """
    @notice Pays the requester what lies above the job's liabilities.
    @param job The job's id.
    """
    ledger._require_requester(job)
    amount: uint256 = ledger._surplus(job)
    assert amount != 0, "bounty: nothing to withdraw"

    ledger.jobs[job].held -= amount
    log Withdrawn(job=job, amount=amount)
    money._push(ledger.jobs[job].token, msg.sender, amount)


@external
@view
def domain_separator() -> bytes32:
    """
    @dev Computes the EIP-712 domain separator.
    @return bytes32 The separator.
    """
    return signing._domain_separator()


@external
@view
def commitment_digest(
    job: bytes32,
    round: uint16,
    root: bytes32,
    count: uint16,
    model_digest: bytes32,
    valid_until: uint64,
) -> bytes32:
    """
    @dev Computes what the requester signs for a commitment.
    @param job The job's id.
    @param round The round, from zero.
    @param root The root of the round's index tree.
    @param count The number of contributions under it.
    @param model_digest The digest of the model that was contributed to.
    @param valid_until The last moment, in seconds, of the commitment's validity.
    @return bytes32 The EIP-712 digest.
    """
    return signing._commitment_digest(job, round, root, count, model_digest, valid_until)
