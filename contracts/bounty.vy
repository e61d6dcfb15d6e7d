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


from ethereum.ercs import IERC20


from . import signing
from . import trees


struct Job:
    requester: address
    # Zero is ether.
    token: address
    rounds: uint16
    cohort: uint16
    rate: uint256
    merit: uint256
    # The job accepts nothing from this moment on: its expiry, or the moment
    # at which its cancellation takes effect.
    closes: uint64
    finished: bool
    next_round: uint16
    enrolments: uint16
    enrolled: uint16
    contributions: uint32
    # Contributions committed and not yet paid their rate.
    unpaid: uint32
    # Merit not yet paid to anybody.
    merit_left: uint256
    merit_root: bytes32
    held: uint256


struct Enrolment:
    root: bytes32
    count: uint16


struct Round:
    root: bytes32
    model_digest: bytes32
    count: uint16


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


struct Liabilities:
    rate: uint256
    merit: uint256
    reserve: uint256


# One word holds a bit for each round; its top bit is the merit's.
MAX_ROUNDS: public(constant(uint256)) = 255
MAX_COHORT: public(constant(uint256)) = 4096
# The longest that a signed commitment stays valid.
MAX_VALIDITY: public(constant(uint256)) = 3600
# From `cancel` to its effect: longer than MAX_VALIDITY, so that a commitment
# signed before the cancellation can still be put on the chain.
NOTICE: public(constant(uint256)) = 7200


_MERIT_BIT: constant(uint256) = 1 << 255


# @dev What a job promised and where it stands, by id.
jobs: public(HashMap[bytes32, Job])

# @dev Enrolment roots, by job and index.
enrolments: public(HashMap[bytes32, HashMap[uint16, Enrolment]])

# @dev Commitments, by job and round.
rounds: public(HashMap[bytes32, HashMap[uint16, Round]])

# @dev Rounds whose rate was paid, by job and account; the top bit says that
# the merit of a finished job was.
paid: public(HashMap[bytes32, HashMap[address, uint256]])

# @dev Rounds whose equal share of an unfinished job's merit was paid.
shared: public(HashMap[bytes32, HashMap[address, uint256]])


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
    job: bytes32 = self._job_id(msg.sender, spec_digest)
    assert self.jobs[job].requester == empty(address), "bounty: posted already"
    assert rounds != 0 and convert(rounds, uint256) <= MAX_ROUNDS, "bounty: rounds not in 1 to 255"
    assert cohort != 0 and convert(cohort, uint256) <= MAX_COHORT, "bounty: cohort not in 1 to 4096"
    assert convert(expiry, uint256) > block.timestamp, "bounty: expiry is past"

    escrow: uint256 = convert(rounds, uint256) * convert(cohort, uint256) * rate + merit
    self.jobs[job].requester = msg.sender
    self.jobs[job].token = token
    self.jobs[job].rounds = rounds
    self.jobs[job].cohort = cohort
    self.jobs[job].rate = rate
    self.jobs[job].merit = merit
    self.jobs[job].closes = expiry
    self.jobs[job].merit_left = merit
    self.jobs[job].held = escrow
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
    self._pull(token, escrow)
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
    self._require_requester(job)
    self._require_open(job)
    assert root != empty(bytes32), "bounty: root is empty"
    assert count != 0, "bounty: count is zero"
    enrolled: uint256 = convert(self.jobs[job].enrolled, uint256) + convert(count, uint256)
    assert enrolled <= convert(self.jobs[job].cohort, uint256), "bounty: cohort is full"

    index: uint16 = self.jobs[job].enrolments
    self.jobs[job].enrolments = index + 1
    self.jobs[job].enrolled = convert(enrolled, uint16)
    self.enrolments[job][index] = Enrolment(root=root, count=count)
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
    self._require_posted(job)
    self._require_open(job)
    assert round == self.jobs[job].next_round, "bounty: not the next round"
    assert round < self.jobs[job].rounds, "bounty: no rounds left"
    assert root != empty(bytes32), "bounty: root is empty"
    assert count != 0 and count <= self.jobs[job].cohort, "bounty: count not in 1 to cohort"
    until: uint256 = convert(valid_until, uint256)
    assert block.timestamp <= until, "bounty: commitment has expired"
    assert until <= block.timestamp + MAX_VALIDITY, "bounty: commitment is valid for too long"
    digest: bytes32 = signing._commitment_digest(
        job, round, root, count, model_digest, valid_until
    )
    assert signing._signer(digest, signature) == self.jobs[job].requester, "bounty: not signed by the requester"

    self.jobs[job].next_round = round + 1
    self.jobs[job].contributions += convert(count, uint32)
    self.jobs[job].unpaid += convert(count, uint32)
    self.rounds[job][round] = Round(root=root, model_digest=model_digest, count=count)
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
    self._require_requester(job)
    self._require_open(job)
    pot: uint256 = 0
    if self.jobs[job].contributions != 0:
        pot = self.jobs[job].merit
    assert merit_total == pot, "bounty: merit total is not the pot"
    assert (merit_root == empty(bytes32)) == (pot == 0), "bounty: merit root does not fit the pot"

    self.jobs[job].finished = True
    self.jobs[job].merit_left = pot
    self.jobs[job].merit_root = merit_root
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
    self._require_requester(job)
    self._require_open(job)
    effective: uint256 = block.timestamp + NOTICE
    assert effective < convert(self.jobs[job].closes, uint256), "bounty: closes sooner already"

    self.jobs[job].closes = convert(effective, uint64)
    log Cancelled(job=job, effective=convert(effective, uint64))


@external
@nonreentrant
def claim(job: bytes32, account: address, payments: DynArray[Payment, MAX_ROUNDS], merit: Merit):
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
    self._require_posted(job)
    before: uint256 = self.paid[job][account]
    after: uint256 = before
    number: uint256 = 0
    for payment: Payment in payments:
        committed: Round = self.rounds[job][payment.round]
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
    if self.jobs[job].finished:
        if merit.amount != 0 and after & _MERIT_BIT == 0:
            root: trees.SumNode = trees._sum_root(
                convert(merit.position, uint256), account, merit.amount, merit.proof
            )
            assert root.hash == self.jobs[job].merit_root, "bounty: merit is not under the root"
            assert root.total == self.jobs[job].merit, "bounty: merit does not add up to the pot"
            worth = merit.amount
            after |= _MERIT_BIT
    else:
        assert merit.amount == 0, "bounty: merit before finish"
        if self._is_closed(job):
            due: uint256 = after & ~self.shared[job][account]
            if due != 0:
                share: uint256 = self.jobs[job].merit // convert(self.jobs[job].contributions, uint256)
                worth = share * self._ones(due)
                self.shared[job][account] = after
    assert rounds_bits != 0 or worth != 0, "bounty: nothing to pay"

    amount: uint256 = number * self.jobs[job].rate + worth
    self.paid[job][account] = after
    # Checked subtractions: the two liabilities and the job's own money bound
    # what its trees can prove.
    self.jobs[job].unpaid -= convert(number, uint32)
    self.jobs[job].merit_left -= worth
    self.jobs[job].held -= amount
    log Claimed(job=job, account=account, amount=amount, rounds_bits=rounds_bits, merit=worth)
    self._push(self.jobs[job].token, account, amount)


@external
@nonreentrant
def withdraw(job: bytes32):
    """
    @notice Pays the requester what lies above the job's liabilities.
    @param job The job's id.
    """
    self._require_requester(job)
    amount: uint256 = self._surplus(job)
    assert amount != 0, "bounty: nothing to withdraw"

    self.jobs[job].held -= amount
    log Withdrawn(job=job, amount=amount)
    self._push(self.jobs[job].token, msg.sender, amount)


@external
@view
def job_id(requester: address, spec_digest: bytes32) -> bytes32:
    """
    @dev Computes a job's id, before or after it is posted.
    @param requester The account that posts it.
    @param spec_digest The digest of its spec.
    @return bytes32 The id.
    """
    return self._job_id(requester, spec_digest)


@external
@view
def is_open(job: bytes32) -> bool:
    """
    @dev Says whether the job still accepts commitments.
    @param job The job's id.
    @return bool False once it finished, expired, or its cancellation took
            effect, and for a job that was never posted.
    """
    return not self.jobs[job].finished and not self._is_closed(job)


@external
@view
def liabilities(job: bytes32) -> Liabilities:
    """
    @dev Computes what the job's money is bound to.
    @param job The job's id.
    @return Liabilities Rate owed for contributions, merit owed, and what is
            kept for rounds that can still come.
    """
    return self._liabilities(job)


@external
@view
def surplus(job: bytes32) -> uint256:
    """
    @dev Computes what the requester could withdraw now.
    @param job The job's id.
    @return uint256 The amount.
    """
    return self._surplus(job)


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


@internal
@view
def _job_id(requester: address, spec_digest: bytes32) -> bytes32:
    """
    @dev Computes a job's id.
    @param requester The account that posts it.
    @param spec_digest The digest of its spec.
    @return bytes32 The id.
    """
    return keccak256(abi_encode(chain.id, self, requester, spec_digest))


@internal
@view
def _require_posted(job: bytes32):
    """
    @dev Reverts unless the job exists.
    @param job The job's id.
    """
    assert self.jobs[job].requester != empty(address), "bounty: unknown job"


@internal
@view
def _require_requester(job: bytes32):
    """
    @dev Reverts unless the sender posted the job. The zero address sends
         nothing, so that a job that does not exist has no requester.
    @param job The job's id.
    """
    self._require_posted(job)
    assert msg.sender == self.jobs[job].requester, "bounty: not the requester"


@internal
@view
def _require_open(job: bytes32):
    """
    @dev Reverts once the job finished or closed.
    @param job The job's id.
    """
    assert not self.jobs[job].finished, "bounty: finished"
    assert not self._is_closed(job), "bounty: closed"


@internal
@view
def _is_closed(job: bytes32) -> bool:
    """
    @dev Says whether the expiry or the cancellation has taken effect.
    @param job The job's id.
    @return bool True from that moment on.
    """
    return block.timestamp >= convert(self.jobs[job].closes, uint256)


@internal
@view
def _liabilities(job: bytes32) -> Liabilities:
    """
    @dev Computes what the job's money is bound to. After a close without
         `finish`, what does not divide by the number of contributions is bound
         to nobody, nor is a pot that no contribution shares.
    @param job The job's id.
    @return Liabilities Rate owed, merit owed, and the reserve.
    """
    owed: Liabilities = Liabilities(
        rate=convert(self.jobs[job].unpaid, uint256) * self.jobs[job].rate,
        merit=self.jobs[job].merit_left,
        reserve=0,
    )
    if self.jobs[job].finished:
        return owed
    if self._is_closed(job):
        contributions: uint256 = convert(self.jobs[job].contributions, uint256)
        if contributions == 0:
            owed.merit = 0
        else:
            owed.merit -= self.jobs[job].merit % contributions
        return owed
    left: uint16 = self.jobs[job].rounds - self.jobs[job].next_round
    owed.reserve = (
        convert(left, uint256) * convert(self.jobs[job].cohort, uint256) * self.jobs[job].rate
    )
    return owed


@internal
@view
def _surplus(job: bytes32) -> uint256:
    """
    @dev Computes what the job holds above its liabilities. The subtraction is
         checked: a job that held less than it owes would revert here.
    @param job The job's id.
    @return uint256 The amount.
    """
    owed: Liabilities = self._liabilities(job)
    return self.jobs[job].held - (owed.rate + owed.merit + owed.reserve)


@internal
@pure
def _ones(word: uint256) -> uint256:
    """
    @dev Counts the bits of a word of round bits (at most 255 are set), by
         halves (Warren, Hacker's Delight, section 5-1).
    @param word The word.
    @return uint256 The number of bits that are set.
    """
    # 0x55.., 0x33.., 0x0F.. and 0x01..: the largest word over 3, 5, 17, 255.
    pairs: uint256 = max_value(uint256) // 3
    nibbles: uint256 = max_value(uint256) // 5
    octets: uint256 = max_value(uint256) // 17
    # Unchecked: each field's count is at most its value, so nothing borrows.
    count: uint256 = unsafe_sub(word, (word >> 1) & pairs)
    # Unchecked: two counts of at most 2 fit in 4 bits, two of at most 4 in 8.
    count = unsafe_add(count & nibbles, (count >> 2) & nibbles)
    count = unsafe_add(count, count >> 4) & octets
    # Unchecked: the product is meant modulo 2 ** 256; its top byte is the sum
    # of all 32 bytes, at most 255.
    return unsafe_mul(count, max_value(uint256) // 255) >> 248


@internal
@payable
def _pull(token: address, amount: uint256):
    """
    @dev Takes the escrow from the sender. A token that delivers less than was
         sent, because it takes a fee, is refused.
    @param token The token; zero for ether.
    @param amount The exact amount.
    """
    if token == empty(address):
        assert msg.value == amount, "bounty: value is not the escrow"
        return
    assert msg.value == 0, "bounty: ether for a job that pays in a token"
    before: uint256 = staticcall IERC20(token).balanceOf(self)
    # The default covers tokens that return nothing; false is a failure.
    assert extcall IERC20(token).transferFrom(
        msg.sender, self, amount, default_return_value=True
    ), "bounty: token refused the transfer"
    received: uint256 = staticcall IERC20(token).balanceOf(self) - before
    assert received == amount, "bounty: token delivered another amount"


@internal
def _push(token: address, to: address, amount: uint256):
    """
    @dev Pays. Comes last in every function that calls it.
    @param token The token; zero for ether.
    @param to Who is paid.
    @param amount The amount; nothing is called for zero.
    """
    if amount == 0:
        return
    if token == empty(address):
        # Raw, because `send` stops at 2300 gas, which a contract's wallet
        # exceeds. Safe with all gas: the lock is held, storage is final, and
        # no returned bytes are copied. Who reverts here harms itself alone.
        raw_call(to, b"", value=amount)
        return
    # The default covers tokens that return nothing; false is a failure.
    assert extcall IERC20(token).transfer(
        to, amount, default_return_value=True
    ), "bounty: token refused the transfer"
