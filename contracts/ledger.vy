# pragma version 0.4.3
"""
@title Ledger of jobs
@custom:contract-name ledger
@license Apache-2.0
@author The authors of assay
@notice What each job promised, where it stands, and what its money is bound to.
"""


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
