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
from . import paying
from . import signing
from . import trees


initializes: ledger
initializes: paying[ledger := ledger]


exports: ledger.__interface__
exports: paying.__interface__


struct Merit:
    position: uint16
    # Zero claims no merit.
    amount: uint256
    proof: DynArray[trees.SumNode, trees.MAX_DEPTH]


# Payments of one claim: an account with more rounds claims several times.
MAX_PAYMENTS: public(constant(uint256)) = 32
# A payment without its proof: round (1), position (2), detail (24).
_LEAF_BYTES: constant(uint256) = 27
_MAX_PAYMENT_BYTES: constant(uint256) = _LEAF_BYTES + trees.MAX_DEPTH * trees.NODE_BYTES
# Where the offset of `payments` stands in a claim's data.
_PAYMENTS: constant(uint256) = 4 + 2 * 32


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
    effective: uint64


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
    return self._post(
        spec_digest, token, rounds, cohort, rate, merit, expiry, empty(money.Permit)
    )


@external
@nonreentrant
def post_permitted(
    spec_digest: bytes32,
    token: address,
    rounds: uint16,
    cohort: uint16,
    rate: uint256,
    merit: uint256,
    expiry: uint64,
    v: uint8,
    r: bytes32,
    s: bytes32,
) -> bytes32:
    """
    @notice Posts a job that pays in a token with permits (EIP-2612), allowed to
            take the escrow by the sender's signature in the place of an
            approval sent before.
    @dev Whether the token takes the permit is not looked at: whoever saw it
         may have brought it before, and then the allowance is there. Nothing
         but the sender's own tokens is ever taken.
    @param spec_digest The digest of the job's spec.
    @param token The ERC-20 token that pays.
    @param rounds The largest number of rounds, 1 to 255.
    @param cohort The largest number of contributions in a round, 1 to 4096.
    @param rate What each contribution is paid.
    @param merit The pot for measured worth.
    @param expiry The moment, in seconds, from which the job accepts nothing;
           the permit's deadline.
    @param v The last byte of the sender's signature, 27 or 28.
    @param r The signature's first word.
    @param s The signature's second word.
    @return bytes32 The job's id.
    """
    return self._post(
        spec_digest, token, rounds, cohort, rate, merit, expiry, money.Permit(v=v, r=r, s=s)
    )


@internal
@payable
def _post(
    spec_digest: bytes32,
    token: address,
    rounds: uint16,
    cohort: uint16,
    rate: uint256,
    merit: uint256,
    expiry: uint64,
    permit: money.Permit,
) -> bytes32:
    """
    @dev Posts a job, as `post` says.
    @param spec_digest The digest of the job's spec.
    @param token The ERC-20 token that pays; zero for ether.
    @param rounds The largest number of rounds, 1 to 255.
    @param cohort The largest number of contributions in a round, 1 to 4096.
    @param rate What each contribution is paid.
    @param merit The pot for measured worth.
    @param expiry The moment, in seconds, from which the job accepts nothing.
    @param permit What lets the contract take the escrow; a v of zero for none.
    @return bytes32 The job's id.
    """
    job: bytes32 = ledger._job_id(msg.sender, spec_digest)
    assert ledger.words[job].head == 0, "bounty: posted already"
    assert rounds != 0 and convert(rounds, uint256) <= ledger.MAX_ROUNDS, "bounty: rounds not in 1 to 255"
    assert cohort != 0 and convert(cohort, uint256) <= ledger.MAX_COHORT, "bounty: cohort not in 1 to 4096"
    assert convert(expiry, uint256) > block.timestamp, "bounty: expiry is past"
    assert rate <= ledger.MAX_RATE, "bounty: rate is 2 ** 96 or more"

    escrow: uint256 = convert(rounds, uint256) * convert(cohort, uint256) * rate + merit
    assert escrow <= ledger.MAX_ESCROW, "bounty: escrow is 2 ** 128 or more"
    ledger.words[job].head = (
        convert(msg.sender, uint256)
        | (convert(expiry, uint256) << ledger.CLOSES)
        | (convert(rounds, uint256) << ledger.ROUNDS)
        | (convert(cohort, uint256) << ledger.COHORT)
    )
    ledger.words[job].state = escrow
    ledger.words[job].pay = convert(token, uint256) | (rate << ledger.RATE)
    # A merit is at most its escrow.
    ledger.words[job].pot = merit | (merit << ledger.MERIT_LEFT)
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
    if permit.v != 0:
        money._permit(token, escrow, convert(expiry, uint256), permit)
    money._pull(token, escrow)
    return job


@external
@nonreentrant
def enrol(job: bytes32, root: bytes32, count: uint16):
    """
    @notice Logs the root of owners that joined the job. Roots never change;
            later owners come under a later root.
    @dev Blocks of owners follow from this root and a later block's hash, which
         the log's block number tells. No function reads a root, so that the
         log alone has it.
    @param job The job's id.
    @param root The root of the index tree over the owners' enrolments.
    @param count The number of owners under it.
    """
    head: uint256 = ledger._of_requester(job)
    ledger._require_open(head)
    assert root != empty(bytes32), "bounty: root is empty"
    assert count != 0, "bounty: count is zero"
    state: uint256 = ledger.words[job].state
    enrolled: uint256 = ((state >> ledger.ENROLLED) & ledger.BITS_16) + convert(count, uint256)
    assert enrolled <= (head >> ledger.COHORT) & ledger.BITS_16, "bounty: cohort is full"

    # Each enrolment has an owner at least, so that indices end below the cohort.
    index: uint16 = convert((state >> ledger.ENROLMENTS) & ledger.BITS_16, uint16)
    ledger.words[job].state = (
        state + (1 << ledger.ENROLMENTS) + (convert(count, uint256) << ledger.ENROLLED)
    )
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
    @param signature The requester's EIP-712 signature, r, s, v; may be empty
           where the requester itself sends this.
    """
    head: uint256 = ledger._posted(job)
    # A job that is finishing accepts commitments until it closes.
    assert not ledger._is_closed(head), "bounty: closed"
    state: uint256 = ledger.words[job].state
    number: uint256 = convert(round, uint256)
    assert number == (state >> ledger.NEXT_ROUND) & ledger.BITS_8, "bounty: not the next round"
    assert number < (head >> ledger.ROUNDS) & ledger.BITS_8, "bounty: no rounds left"
    assert root != empty(bytes32), "bounty: root is empty"
    owed: uint256 = convert(count, uint256)
    assert owed != 0 and owed <= (head >> ledger.COHORT) & ledger.BITS_16, "bounty: count not in 1 to cohort"
    until: uint256 = convert(valid_until, uint256)
    assert block.timestamp <= until, "bounty: commitment has expired"
    assert until <= block.timestamp + ledger.MAX_VALIDITY, "bounty: commitment is valid for too long"
    # The requester's own transaction says what its signature would.
    if len(signature) != 0 or convert(msg.sender, uint256) != head & ledger.BITS_160:
        digest: bytes32 = signing._commitment_digest(
            job, round, root, count, model_digest, valid_until
        )
        signer: address = signing._signer(digest, signature)
        assert convert(signer, uint256) == head & ledger.BITS_160, "bounty: not signed by the requester"

    ledger.words[job].state = (
        state
        + (owed << ledger.UNPAID)
        + (owed << ledger.CONTRIBUTIONS)
        + (1 << ledger.NEXT_ROUND)
    )
    ledger.committed[job][number] = ledger._packed(root, count)
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
    @notice Ends the job well: no more owners, and it closes after NOTICE, or
            when it closes anyway. Until then commitments are accepted, so that
            one that a reorganisation took out can be put back. Merit goes
            where its sum tree says, at once; what was escrowed for rounds that
            did not happen is the requester's again once the job is closed.
    @dev Where nothing is committed yet, the total may be zero: what is put
         back within the notice then shares the merit equally, as in a job that
         closed without `finish`. A total of zero has the empty root.
    @param job The job's id.
    @param model_digest The digest of the final model.
    @param evidence_digest The digest of the evidence for the merit.
    @param merit_root The root hash of the sum tree over merit.
    @param merit_total The root's total: the whole pot.
    """
    head: uint256 = ledger._of_requester(job)
    ledger._require_open(head)
    if merit_total != ledger.words[job].pot & ledger.BITS_128:
        contributions: uint256 = (ledger.words[job].state >> ledger.CONTRIBUTIONS) & ledger.BITS_24
        assert merit_total == 0 and contributions == 0, "bounty: merit total is not the pot"
    assert (merit_root == empty(bytes32)) == (
        merit_total == 0
    ), "bounty: merit root does not fit the total"

    closes: uint256 = (head >> ledger.CLOSES) & ledger.BITS_64
    effective: uint256 = min(closes, block.timestamp + ledger.NOTICE)
    # The greater moment gives way to the lesser, in its own bits.
    head = (head | (1 << ledger.FINISHED)) - ((closes - effective) << ledger.CLOSES)
    if merit_total != 0:
        head |= 1 << ledger.BY_TREE
        ledger.words[job].merit_root = merit_root
    ledger.words[job].head = head
    log Finished(
        job=job,
        model_digest=model_digest,
        evidence_digest=evidence_digest,
        merit_root=merit_root,
        merit_total=merit_total,
        effective=convert(effective, uint64),
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
    head: uint256 = ledger._of_requester(job)
    ledger._require_open(head)
    effective: uint256 = block.timestamp + ledger.NOTICE
    closes: uint256 = (head >> ledger.CLOSES) & ledger.BITS_64
    assert effective < closes, "bounty: closes sooner already"

    # The greater moment gives way to the lesser, in its own bits.
    ledger.words[job].head = head - ((closes - effective) << ledger.CLOSES)
    log Cancelled(job=job, effective=convert(effective, uint64))


@external
@nonreentrant
def claim(
    job: bytes32, account: address, payments: Bytes[MAX_PAYMENTS * _MAX_PAYMENT_BYTES], merit: Merit
):
    """
    @notice Pays an account for its contributions, and its merit. Anybody may
            send the claim; the money goes to the account.
    @dev Rounds and merit that were paid before, by a claim or in full, are ignored, so that two claims
         that overlap both go through; a claim with nothing to pay reverts.
         Where a job closed without a sum tree, equal shares of the merit
         follow for all rounds that the account was ever paid for, named or not.
    @param job The job's id.
    @param account The account that stands in the leaves, and is paid.
    @param payments One payment for each round to be paid, in any order, back
           to back: round (1 byte), position (2), the leaf's detail (24), and
           the proof's siblings (24 each).
    @param merit The proof of the account's merit; an amount of zero for none.
    """
    ledger._posted(job)
    state: uint256 = ledger.words[job].state
    before: uint256 = ledger.claimed[job][account]
    # What whole rounds have paid is as good as claimed.
    settled: uint256 = ledger._settled(job, account, state)
    known: uint256 = before | settled
    word: uint256 = convert(account, uint256) << 96
    # Proofs are read where they lie. The compiler has checked that `payments`
    # lies in the call's data, at this offset.
    at: uint256 = convert(slice(msg.data, _PAYMENTS, 32), uint256) + 36
    end: uint256 = at + len(payments)
    for _: uint256 in range(MAX_PAYMENTS):
        if at >= end:
            break
        known, at = self._proved(job, word, known, at)
    assert at == end, "bounty: payments do not end with a proof, or are more than 32"
    rounds_bits: uint256 = known ^ (before | settled)
    after: uint256 = before | rounds_bits

    head: uint256 = ledger.words[job].head
    pot: uint256 = 0
    worth: uint256 = 0
    if ledger._is_by_tree(head):
        if merit.amount != 0 and known & ledger.MERIT_BIT == 0:
            root: trees.SumNode = trees._sum_root(
                convert(merit.position, uint256), account, merit.amount, merit.proof
            )
            pot = ledger.words[job].pot
            assert root.hash == ledger.words[job].merit_root, "bounty: merit is not under the root"
            assert root.total == pot & ledger.BITS_128, "bounty: merit does not add up to the pot"
            worth = merit.amount
            after |= ledger.MERIT_BIT
    else:
        assert merit.amount == 0, "bounty: merit without a sum tree"
        if ledger._is_closed(head):
            due: uint256 = after & ~(settled | ledger.shared[job][account])
            if due != 0:
                pot = ledger.words[job].pot
                contributions: uint256 = (state >> ledger.CONTRIBUTIONS) & ledger.BITS_24
                share: uint256 = (pot & ledger.BITS_128) // contributions
                if share != 0:
                    worth = share * ledger._ones(due)
                    ledger.shared[job][account] |= due
    assert rounds_bits != 0 or worth != 0, "bounty: nothing to pay"

    pay: uint256 = ledger.words[job].pay
    number: uint256 = ledger._ones(rounds_bits)
    amount: uint256 = number * (pay >> ledger.RATE) + worth
    ledger.claimed[job][account] = after
    # The two liabilities and the job's own money bound what its trees can
    # prove: no field borrows from its neighbour.
    assert number <= (state >> ledger.UNPAID) & ledger.BITS_24, "bounty: more than the rate owed"
    assert amount <= state & ledger.BITS_128, "bounty: more than the job holds"
    ledger.words[job].state = state - (number << ledger.UNPAID) - amount
    if worth != 0:
        assert worth <= pot >> ledger.MERIT_LEFT, "bounty: more than the merit left"
        ledger.words[job].pot = pot - (worth << ledger.MERIT_LEFT)
    log Claimed(job=job, account=account, amount=amount, rounds_bits=rounds_bits, merit=worth)
    money._push(convert(convert(pay & ledger.BITS_160, uint160), address), account, amount)


@external
@nonreentrant
def pay(job: bytes32, first: uint256, rounds: uint256, accounts: uint256, merits: uint256):
    """
    @notice Pays everybody of whole rounds at once. Anybody may send it. The
            lists follow the arguments in the call's data, from which the
            contract rebuilds each round's root: nothing is taken on trust.
    @dev Behind the arguments, without anything between or behind: the accounts
         (20 bytes each, ascending); the sum tree's entries in order, if merit
         is paid (the account's place among them (1), amount (16)); then
         each round's contributions in order (detail (24), the account's place
         (1)). What was claimed before is left out. What an account refuses stays
         its own, by `claim`.
    @param job The job's id.
    @param first The first round to be paid: the one after those that are.
    @param rounds The number of rounds, at most 96; may be zero where merit is
           paid.
    @param accounts The number of accounts, at most 256.
    @param merits The number of the sum tree's entries; zero pays no merit by
           the tree.
    """
    paying._pay(job, first, rounds, accounts, merits)


@internal
@view
def _proved(job: bytes32, account: uint256, known: uint256, at: uint256) -> (uint256, uint256):
    """
    @dev Reads one payment of a claim, and reverts unless it proves. A round
         whose bit is set is skipped, its proof unread.
    @param job The job's id.
    @param account The account that the leaf pays, in the first 20 bytes.
    @param known The rounds that were paid, as bits.
    @param at Where the payment begins in msg.data.
    @return (uint256, uint256) The bits with this round's, and where the next
            payment begins.
    """
    # The 32 bytes that end where the leaf's 27 do. Unchecked: `at` is past 100.
    fields: uint256 = convert(slice(msg.data, unsafe_sub(at, 5), 32), uint256)
    round: uint256 = (fields >> 208) & ledger.BITS_8
    committed: uint256 = ledger.committed[job][round]
    # Rounds end at 254, so that no payment can reach the merit's bit.
    assert committed != 0, "bounty: round is not committed"
    count: uint256 = committed & ledger.BITS_16
    depth: uint256 = trees._depth(count)
    # Unchecked: `slice` read there, so that `at` is small.
    proof: uint256 = unsafe_add(at, _LEAF_BYTES)
    end: uint256 = unsafe_add(proof, unsafe_mul(depth, trees.NODE_BYTES))
    bit: uint256 = 1 << round
    if known & bit != 0:
        return known, end
    position: uint256 = (fields >> 192) & ledger.BITS_16
    leaf: bytes32 = trees._contribution_leaf(account, fields << 64)
    root: uint256 = convert(trees._index_root(position, depth, leaf, proof), uint256)
    assert (
        position < count and root >> 16 == committed >> 16
    ), "bounty: contribution is not under the round's root"
    return known | bit, end


@external
@nonreentrant
def withdraw(job: bytes32):
    """
    @notice Pays the requester what lies above the job's liabilities.
    @param job The job's id.
    """
    ledger._of_requester(job)
    amount: uint256 = ledger._surplus(job)
    assert amount != 0, "bounty: nothing to withdraw"

    # A surplus is at most what is held, the state's lowest bits.
    ledger.words[job].state -= amount
    log Withdrawn(job=job, amount=amount)
    token: uint160 = convert(ledger.words[job].pay & ledger.BITS_160, uint160)
    money._push(convert(token, address), msg.sender, amount)


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
