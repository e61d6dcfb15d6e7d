# pragma version 0.4.3
"""
@title Ledger of jobs
@custom:contract-name ledger
@license Apache-2.0
@author The authors of assay
@notice What each job promised, where it stands, and what its money is bound to.
@dev A job is four words, and a fifth once `finish` came with merit; a round is
     one word. docs/spec/contract.md, 'Storage', has them.
     Of a root 240 bits are stored: to find two trees with one such root takes
     2 ** 120 hashes.
"""


# What a job promised and where it stands, for whoever reads it; storage holds
# it packed (`Words`).
struct Job:
    requester: address
    # Zero is ether.
    token: address
    rounds: uint16
    cohort: uint16
    rate: uint256
    merit: uint256
    # The job accepts nothing from this moment on: its expiry, or the moment
    # at which `finish` or a cancellation takes effect.
    closes: uint64
    # `finish` came; commitments are accepted until the job closes.
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
    # Rounds before this one are paid in full: to everybody that stands in them,
    # but where `missed` says that it was not delivered.
    full: uint16
    merit_full: bool


# A job's storage. Bits are named from the lowest. No field can grow into its
# neighbour: `post` bounds what it writes, a sum of 255 rounds of 4096
# contributions fits in 24 bits, and what shrinks is compared first.
struct Words:
    # requester 0..159, closes 160..223, rounds 224..231, cohort 232..247,
    # finished 248, merit by the sum tree 249; zero for a job that was never
    # posted
    head: uint256
    # held 0..127, unpaid 128..151, contributions 152..175, next round
    # 176..183, enrolments 184..199, enrolled 200..215, rounds paid in full
    # 216..223, merit paid in full 224
    state: uint256
    # token 0..159, rate 160..255
    pay: uint256
    # merit 0..127, merit left 128..255
    pot: uint256
    merit_root: bytes32


struct Round:
    root: bytes30
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
# From `cancel` or `finish` to its effect: longer than MAX_VALIDITY, so that a
# commitment signed before can still be put on the chain, or put back there.
NOTICE: public(constant(uint256)) = 7200
# The greatest rate, and the greatest escrow: what their fields hold.
MAX_RATE: public(constant(uint256)) = 2**96 - 1
MAX_ESCROW: public(constant(uint256)) = 2**128 - 1

# The merit's bit beside those of rounds.
MERIT_BIT: constant(uint256) = 1 << 255

# Where fields begin.
CLOSES: constant(uint256) = 160
ROUNDS: constant(uint256) = 224
COHORT: constant(uint256) = 232
FINISHED: constant(uint256) = 248
BY_TREE: constant(uint256) = 249
UNPAID: constant(uint256) = 128
CONTRIBUTIONS: constant(uint256) = 152
NEXT_ROUND: constant(uint256) = 176
ENROLMENTS: constant(uint256) = 184
ENROLLED: constant(uint256) = 200
FULL: constant(uint256) = 216
MERIT_FULL: constant(uint256) = 224
RATE: constant(uint256) = 160
MERIT_LEFT: constant(uint256) = 128

# How wide they are.
BITS_8: constant(uint256) = 2**8 - 1
BITS_16: constant(uint256) = 2**16 - 1
BITS_24: constant(uint256) = 2**24 - 1
BITS_64: constant(uint256) = 2**64 - 1
BITS_128: constant(uint256) = 2**128 - 1
BITS_160: constant(uint256) = 2**160 - 1


# @dev Jobs, by id.
words: HashMap[bytes32, Words]

# @dev Commitments, by job and round: the root's first 240 bits, then the count
# in 16.
committed: HashMap[bytes32, HashMap[uint256, uint256]]

# @dev Rounds whose rate was paid by a claim, by job and account; the top bit says
# that the merit of a finished job was.
claimed: HashMap[bytes32, HashMap[address, uint256]]

# @dev Rounds whose equal share of an unfinished job's merit was paid by a claim.
shared: public(HashMap[bytes32, HashMap[address, uint256]])

# @dev Rounds, and merit in the top bit, that were paid in full while this
# account's part could not be delivered: it claims them.
missed: public(HashMap[bytes32, HashMap[address, uint256]])


@external
@view
def jobs(job: bytes32) -> Job:
    """
    @dev Reads a job.
    @param job The job's id.
    @return Job What it promised and where it stands; all zero for none.
    """
    return self._job(job)


@external
@view
def rounds(job: bytes32, round: uint16) -> Round:
    """
    @dev Reads a commitment; the log of `commit` has all of it.
    @param job The job's id.
    @param round The round, from zero.
    @return Round The root's first 30 bytes, and the count; zero for none.
    """
    word: uint256 = self.committed[job][convert(round, uint256)]
    return Round(root=self._root(word), count=convert(word & BITS_16, uint16))


@external
@view
def paid(job: bytes32, account: address) -> uint256:
    """
    @dev Says what the account cannot claim any more: what was claimed for it,
         and what was paid in full.
    @param job The job's id.
    @param account The account.
    @return uint256 A bit for each round; the top bit is the merit's. The bit of
            a round that is paid in full is set, also where the account does not
            stand in it.
    """
    return self.claimed[job][account] | self._settled(job, account, self.words[job].state)


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
    @return bool False once it expired, or its `finish` or cancellation took
            effect, and for a job that was never posted.
    """
    return not self._is_closed(self.words[job].head)


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
@pure
def _packed(root: bytes32, count: uint16) -> uint256:
    """
    @dev Packs a root and its count into the word that is stored.
    @param root The root; its last two bytes give way.
    @param count The count.
    @return uint256 The word.
    """
    return ((convert(root, uint256) >> 16) << 16) | convert(count, uint256)


@internal
@pure
def _root(word: uint256) -> bytes30:
    """
    @dev Reads the root in a packed word.
    @param word The word.
    @return bytes30 The root's first 30 bytes.
    """
    return convert(convert(word >> 16, uint240), bytes30)


@internal
@view
def _settled(job: bytes32, account: address, state: uint256) -> uint256:
    """
    @dev Computes what whole rounds have paid an account, if it stood in them.
    @param job The job's id.
    @param account The account.
    @param state The job's state.
    @return uint256 A bit for each round; the top bit is the merit's.
    """
    if state >> FULL == 0:
        return 0
    settled: uint256 = (1 << ((state >> FULL) & BITS_8)) - 1
    # Unchecked: one bit.
    settled |= unsafe_mul((state >> MERIT_FULL) & 1, MERIT_BIT)
    return settled & ~self.missed[job][account]


@internal
@view
def _posted(job: bytes32) -> uint256:
    """
    @dev Reverts unless the job exists.
    @param job The job's id.
    @return uint256 The job's head.
    """
    head: uint256 = self.words[job].head
    assert head != 0, "bounty: unknown job"
    return head


@internal
@view
def _of_requester(job: bytes32) -> uint256:
    """
    @dev Reverts unless the sender posted the job.
    @param job The job's id.
    @return uint256 The job's head.
    """
    head: uint256 = self._posted(job)
    assert convert(msg.sender, uint256) == head & BITS_160, "bounty: not the requester"
    return head


@internal
@view
def _require_open(head: uint256):
    """
    @dev Reverts once the job finished or closed.
    @param head The job's head.
    """
    assert not self._is_finished(head), "bounty: finished"
    assert not self._is_closed(head), "bounty: closed"


@internal
@pure
def _is_finished(head: uint256) -> bool:
    """
    @dev Says whether `finish` came.
    @param head The job's head.
    @return bool True from then on.
    """
    return (head >> FINISHED) & 1 != 0


@internal
@pure
def _is_by_tree(head: uint256) -> bool:
    """
    @dev Says whether merit goes by the sum tree that `finish` brought, and not
         in equal shares.
    @param head The job's head.
    @return bool True once `finish` brought one.
    """
    return (head >> BY_TREE) & 1 != 0


@internal
@view
def _is_closed(head: uint256) -> bool:
    """
    @dev Says whether the expiry, `finish` or a cancellation has taken effect.
    @param head The job's head.
    @return bool True from that moment on, and for a job that does not exist.
    """
    return block.timestamp >= (head >> CLOSES) & BITS_64


@internal
@view
def _job(job: bytes32) -> Job:
    """
    @dev Unpacks a job.
    @param job The job's id.
    @return Job Its fields.
    """
    head: uint256 = self.words[job].head
    state: uint256 = self.words[job].state
    pay: uint256 = self.words[job].pay
    pot: uint256 = self.words[job].pot
    return Job(
        requester=convert(convert(head & BITS_160, uint160), address),
        token=convert(convert(pay & BITS_160, uint160), address),
        rounds=convert((head >> ROUNDS) & BITS_8, uint16),
        cohort=convert((head >> COHORT) & BITS_16, uint16),
        rate=pay >> RATE,
        merit=pot & BITS_128,
        closes=convert((head >> CLOSES) & BITS_64, uint64),
        finished=self._is_finished(head),
        next_round=convert((state >> NEXT_ROUND) & BITS_8, uint16),
        enrolments=convert((state >> ENROLMENTS) & BITS_16, uint16),
        enrolled=convert((state >> ENROLLED) & BITS_16, uint16),
        contributions=convert((state >> CONTRIBUTIONS) & BITS_24, uint32),
        unpaid=convert((state >> UNPAID) & BITS_24, uint32),
        merit_left=pot >> MERIT_LEFT,
        merit_root=self.words[job].merit_root,
        held=state & BITS_128,
        full=convert((state >> FULL) & BITS_8, uint16),
        merit_full=(state >> MERIT_FULL) & 1 != 0,
    )


@internal
@view
def _liabilities(job: bytes32) -> Liabilities:
    """
    @dev Computes what the job's money is bound to. Once closed without a sum
         tree, what does not divide by the number of contributions is bound to
         nobody, nor is a pot that no contribution shares.
    @param job The job's id.
    @return Liabilities Rate owed, merit owed, and the reserve.
    """
    head: uint256 = self.words[job].head
    state: uint256 = self.words[job].state
    pot: uint256 = self.words[job].pot
    rate: uint256 = self.words[job].pay >> RATE
    owed: Liabilities = Liabilities(
        rate=((state >> UNPAID) & BITS_24) * rate,
        merit=pot >> MERIT_LEFT,
        reserve=0,
    )
    if self._is_closed(head):
        if self._is_by_tree(head):
            return owed
        contributions: uint256 = (state >> CONTRIBUTIONS) & BITS_24
        if contributions == 0:
            owed.merit = 0
        else:
            owed.merit -= (pot & BITS_128) % contributions
        return owed
    left: uint256 = ((head >> ROUNDS) & BITS_8) - ((state >> NEXT_ROUND) & BITS_8)
    owed.reserve = left * ((head >> COHORT) & BITS_16) * rate
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
    return (self.words[job].state & BITS_128) - (owed.rate + owed.merit + owed.reserve)


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
