# pragma version 0.4.3
"""
@title Settlement of a finished job
@custom:contract-name settlement
@license Apache-2.0
@author The authors of assay
@notice The requester shows what every account earned in all rounds together,
        and puts a bond beside it. For a while anybody can void it by one
        contribution that it leaves out. After that it stands, and pays.
        docs/spec/contract.md states the rules, docs/adr/0207 the game.
@dev Leaves come in parts of at most 256, in the call's data. The contract adds
     them up and builds the tree itself, so that no sum is taken on trust, and
     logs them, so that nobody can be kept from seeing them.

     A settlement cannot be short of money unless it is false: its leaves name
     at most as many rounds as contributions were committed, and a leaf that
     nobody earned takes the place of one that somebody can show.
"""


from . import ledger
from . import money
from . import proofs
from . import trees
from . import refusals


uses: ledger
uses: proofs


struct Part:
    root: bytes24
    count: uint16
    # Which leaves were paid.
    paid: uint256


event Settled:
    job: indexed(bytes32)
    part: uint16
    # When the settlement stands; zero before the last part.
    stands: uint64
    leaves: Bytes[MAX_LEAVES * LEAF_BYTES]


# What each of these leaves is worth, less what `Claimed` says that its account
# was paid by proofs.
event Paid:
    job: indexed(bytes32)
    part: uint16
    leaves: uint256


event Voided:
    job: indexed(bytes32)
    account: indexed(address)
    challenger: address
    reward: uint256
    rate: uint256


# In one part, and in one call of `pay`.
MAX_LEAVES: public(constant(uint256)) = 256
# Parts that hold the largest cohort.
MAX_PARTS: constant(uint256) = 16
# A leaf: account (20), rounds as bits (32), merit (16).
LEAF_BYTES: constant(uint256) = trees.RANGE_LEAF_BYTES
# A leaf with its proof of at most 8 siblings.
_PLACE_BYTES: constant(uint256) = LEAF_BYTES + 8 * trees.NODE_BYTES
# The challenger's part of a forfeited bond: one in so many.
REWARD: constant(uint256) = 8
# What a payee of `pay` may use: enough for a contract that logs what it gets.
PAY_GAS: constant(uint256) = 20000
# What a token may use for one payee of `pay`.
TOKEN_GAS: constant(uint256) = 200000

# A part's word: its count 0..8, the paid bits of its first leaves 9..63, the
# root's first 192 bits 64..255.
_COUNT_MASK: constant(uint256) = 2**9 - 1
_INLINE: constant(uint256) = 9
_INLINE_MASK: constant(uint256) = 2**55 - 1
_ROOT: constant(uint256) = 64

# Where arguments of dynamic size have their offset in a call's data.
_SETTLE_LEAVES: constant(uint256) = 4 + 4 * 32
_PAY_LEAVES: constant(uint256) = 4 + 2 * 32
_COLLECT_PLACE: constant(uint256) = 4 + 2 * 32
_CHALLENGE_PAYMENT: constant(uint256) = 4 + 2 * 32
_CHALLENGE_PLACES: constant(uint256) = 4 + 5 * 32


# @dev Parts of settlements, by job and index.
parts: HashMap[bytes32, HashMap[uint256, uint256]]

# @dev Paid bits of a part's leaves from the 56th on, each at its position.
more_paid: HashMap[bytes32, HashMap[uint256, uint256]]

# @dev What the parts so far add up to, where the last is still to come: rounds
# 0..23, merit 24..151, the next part 152..159.
drafts: HashMap[bytes32, uint256]


@external
@view
def settlements(job: bytes32, part: uint16) -> Part:
    """
    @dev Reads a part of a settlement, or of one that is being brought.
    @param job The job's id.
    @param part Which one, from zero.
    @return Part The root's first 24 bytes, the count, and who was paid.
    """
    word: uint256 = self.parts[job][convert(part, uint256)]
    return Part(
        root=convert(convert(word >> _ROOT, uint192), bytes24),
        count=convert(word & _COUNT_MASK, uint16),
        paid=self._paid(job, convert(part, uint256), word),
    )


@external
@payable
@nonreentrant
def settle(
    job: bytes32,
    part: uint16,
    last: bool,
    deposit: uint256,
    leaves: Bytes[MAX_LEAVES * LEAF_BYTES],
):
    """
    @notice Brings one part of a settlement; with the last one, WINDOW begins.
            A job is settled once. Part 0 begins anew as long as the last part
            has not come.
    @dev The bond is the rate of every contribution that is not paid yet. It is
         held beside what the contributions are owed, from what lies above the
         job's liabilities and from `deposit`.
    @param job The job's id.
    @param part The part's index; parts come in order.
    @param last Whether no part follows. Those before the last are full.
    @param deposit What the requester adds to what the job holds.
    @param leaves Leaves back to back, by account, ascending: account (20
           bytes), rounds as bits (32), merit (16).
    """
    head: uint256 = ledger._of_requester(job)
    if not (ledger._is_finished(head) and ledger._is_closed(head)):
        refusals._refuse("settlement: job is not finished")
    if ledger._is_settled(head):
        refusals._refuse("settlement: settled already")
    index: uint256 = convert(part, uint256)
    if index >= MAX_PARTS:
        refusals._refuse("settlement: more than 16 parts")
    count: uint256 = len(leaves) // LEAF_BYTES
    if not (count != 0 and len(leaves) == count * LEAF_BYTES):
        refusals._refuse("settlement: leaves are not whole")
    if not (last or count == MAX_LEAVES):
        refusals._refuse("settlement: part is not full")

    number: uint256 = 0
    merit: uint256 = 0
    if index != 0:
        draft: uint256 = self.drafts[job]
        if draft >> 152 != index:
            refusals._refuse("settlement: not the next part")
        number = draft & ledger.BITS_24
        merit = (draft >> 24) & ledger.BITS_128
    # The compiler has checked that `leaves` lies in the call's data.
    at: uint256 = trees._word(_SETTLE_LEAVES) + 36
    leaf: uint256 = at
    for _: uint256 in range(count, bound=MAX_LEAVES):
        bits: uint256 = trees._word(leaf + 20)
        if bits >> ledger.MAX_ROUNDS != 0:
            refusals._refuse("settlement: round is past 254")
        # Unchecked: 4096 leaves of 255 rounds are below 2 ** 24.
        number = unsafe_add(number, ledger._ones(bits))
        merit += trees._word(leaf + 36) & ledger.BITS_128
        leaf = unsafe_add(leaf, LEAF_BYTES)
    # The count of 16 bits gives way to paid bits, which are zero.
    self.parts[job][index] = ((trees._range_root(at, count) >> _ROOT) << _ROOT) | count

    state: uint256 = ledger.words[job].state
    pay: uint256 = ledger.words[job].pay
    held: uint256 = (state & ledger.BITS_128) + deposit
    if held > ledger.MAX_ESCROW:
        refusals._refuse("settlement: deposit is too large")
    state += deposit
    stands: uint256 = 0
    if last:
        pot: uint256 = ledger.words[job].pot
        if number > (state >> ledger.CONTRIBUTIONS) & ledger.BITS_24:
            refusals._refuse("settlement: too many rounds")
        if not (ledger._is_by_tree(head) or pot & ledger.BITS_128 == 0):
            refusals._refuse("settlement: merit goes equally")
        if merit != pot & ledger.BITS_128:
            refusals._refuse("settlement: merit is not the pot")
        unpaid: uint256 = (state >> ledger.UNPAID) & ledger.BITS_24
        bond: uint256 = unpaid * (pay >> ledger.RATE)
        if held < 2 * bond + (pot >> ledger.MERIT_LEFT):
            refusals._refuse("settlement: bond is not covered")
        stands = block.timestamp + ledger.WINDOW
        state += unpaid << ledger.BOND
        ledger.words[job].head = (
            (head & ~(ledger.BITS_64 << ledger.CLOSES))
            | (stands << ledger.CLOSES)
            | (1 << ledger.SETTLED)
            | (index << ledger.PARTS)
        )
    else:
        if merit > ledger.MAX_ESCROW:
            refusals._refuse("settlement: merit is not the pot")
        self.drafts[job] = number | (merit << 24) | ((index + 1) << 152)
    ledger.words[job].state = state
    log Settled(job=job, part=part, stands=convert(stands, uint64), leaves=leaves)
    money._pull(self._token(pay), deposit)


@external
@nonreentrant
def challenge(
    job: bytes32,
    account: address,
    payment: Bytes[proofs.MAX_PAYMENT_BYTES],
    merit: proofs.Merit,
    position: uint16,
    places: Bytes[2 * _PLACE_BYTES],
):
    """
    @notice Shows a contribution, or merit, that the settlement leaves out.
            Before it stands this voids it: its bond goes to the sender, one
            part in eight, and to all contributions that are not paid yet, in
            equal parts. After that, while the bond is held, the contribution
            is paid its rate from it.
    @dev Where the settlement is void, proofs of contributions and of merit are
         the only way, as if it had never come.
    @param job The job's id.
    @param account The account that earned.
    @param payment The contribution's payment, as in `claim`; empty for none.
    @param merit The merit's proof, as in `claim`; an amount of zero for none.
    @param position Where the first leaf of `places` stands in the settlement.
    @param places The account's leaf and its proof. Where the account has none:
           the leaf before the account's place and the one after it, each with
           its proof; the one of them that there is at either end.
    """
    head: uint256 = ledger._posted(job)
    closes: uint256 = (head >> ledger.CLOSES) & ledger.BITS_64
    if not (ledger._is_settled(head) and closes != ledger.BITS_64):
        refusals._refuse("settlement: nothing to challenge")
    shown: uint256 = 0
    if len(payment) != 0:
        at: uint256 = trees._word(_CHALLENGE_PAYMENT) + 36
        end: uint256 = 0
        shown, end = proofs._payment(job, account, 0, at)
        if end != at + len(payment):
            refusals._refuse("settlement: no end at a proof")
    if merit.amount != 0:
        if not ledger._is_by_tree(head):
            refusals._refuse("bounty: merit without a sum tree")
        proofs._check_merit(job, account, merit)
    bits: uint256 = 0
    worth: uint256 = 0
    bits, worth = self._standing(job, head, account, convert(position, uint256), len(places))
    shown = shown & ~bits

    if block.timestamp >= closes:
        self._pay_late(job, account, shown & ~ledger.paid[job][account], closes)
    else:
        if shown == 0 and merit.amount <= worth:
            refusals._refuse("settlement: nothing is left out")
        self._void(job, account)


@external
@nonreentrant
def collect(job: bytes32, position: uint16, place: Bytes[_PLACE_BYTES]):
    """
    @notice Pays one account all that a standing settlement says, less what it
            was paid by proofs. Anybody may send it; the money goes to the
            account.
    @param job The job's id.
    @param position Where the leaf stands in the settlement, from zero.
    @param place The leaf and its proof.
    """
    head: uint256 = self._require_stands(job)
    index: uint256 = convert(position, uint256)
    at: uint256 = trees._word(_COLLECT_PLACE) + 36
    word: uint256 = 0
    end: uint256 = 0
    word, end = self._proved(job, head, index, at)
    if end != at + len(place):
        refusals._refuse("settlement: no end at a proof")
    part: uint256 = index >> 8
    bit: uint256 = 1 << (index & 255)
    paid: uint256 = self._paid(job, part, word)
    if paid & bit != 0:
        refusals._refuse("settlement: paid already")
    self._set_paid(job, part, word, paid | bit)

    state: uint256 = ledger.words[job].state
    pay: uint256 = ledger.words[job].pay
    account: address = self._account(at)
    bits: uint256 = 0
    worth: uint256 = 0
    bits, worth = self._due(job, at, self._is_fresh(head, state))
    number: uint256 = ledger._ones(bits)
    amount: uint256 = number * (pay >> ledger.RATE) + worth
    if amount == 0:
        refusals._refuse("settlement: nothing to pay")
    self._spend(job, head, state, number, amount, worth)
    log ledger.Claimed(job=job, account=account, amount=amount, rounds_bits=bits, merit=worth)
    money._push(self._token(pay), account, amount)


@external
@nonreentrant
def pay(job: bytes32, part: uint16, leaves: Bytes[MAX_LEAVES * LEAF_BYTES]):
    """
    @notice Pays all accounts of one part of a standing settlement that were not
            paid yet. Anybody may send it. An account that refuses, or that
            needs more gas than it gets, holds up nobody: what it is owed stays,
            for `collect`.
    @dev All is booked as paid before the first account is called, and what was
         refused is booked back after the last: while an account is called, the
         books show too little owed to it, never too much.
    @param job The job's id.
    @param part The part's index.
    @param leaves All leaves of the part, as they were settled.
    """
    head: uint256 = self._require_stands(job)
    index: uint256 = convert(part, uint256)
    if index > head >> ledger.PARTS:
        refusals._refuse("settlement: no such part")
    word: uint256 = self.parts[job][index]
    count: uint256 = word & _COUNT_MASK
    if len(leaves) != count * LEAF_BYTES:
        refusals._refuse("settlement: not these leaves")
    at: uint256 = trees._word(_PAY_LEAVES) + 36
    root: uint256 = trees._range_root(at, count)
    if root >> _ROOT != word >> _ROOT:
        refusals._refuse("settlement: not these leaves")

    paid: uint256 = self._paid(job, index, word)
    # All leaves of the part, in bits.
    whole: uint256 = max_value(uint256) >> (256 - count)
    if paid == whole:
        refusals._refuse("settlement: nothing to pay")
    self._set_paid(job, index, word, whole)
    refused: uint256 = self._pay_all(job, head, at, count, paid)
    if refused != 0:
        self._set_paid(job, index, word, whole & ~refused)
    log Paid(job=job, part=part, leaves=whole & ~(paid | refused))


@internal
def _pay_all(job: bytes32, head: uint256, at: uint256, count: uint256, paid: uint256) -> uint256:
    """
    @dev Books what all leaves of a part are due, pays it, and books back what
         was refused.
    @param job The job's id.
    @param head The job's head.
    @param at Where the leaves begin in msg.data.
    @param count How many there are.
    @param paid Which of them were paid before, as bits.
    @return uint256 Which of them refused, as bits.
    """
    state: uint256 = ledger.words[job].state
    rate: uint256 = ledger.words[job].pay >> ledger.RATE
    fresh: bool = self._is_fresh(head, state)
    number: uint256 = 0
    merit: uint256 = 0
    amounts: uint256[MAX_LEAVES] = empty(uint256[MAX_LEAVES])
    number, merit, amounts = self._sum(job, at, count, paid, rate, fresh)
    # The bond is for `collect` alone: what is given back goes to the unpaid.
    if number > (state >> ledger.UNPAID) & ledger.BITS_24:
        refusals._refuse("settlement: beyond what is owed")
    self._spend(job, head, state, number, number * rate + merit, merit)
    token: address = self._token(ledger.words[job].pay)
    refused: uint256 = self._push_all(token, at, count, paid, amounts)
    if refused != 0:
        number, merit, amounts = self._sum(job, at, count, ~refused, rate, fresh)
        self._give_back(job, number, number * rate + merit, merit)
    return refused


@internal
@view
def _sum(
    job: bytes32, at: uint256, count: uint256, skipped: uint256, rate: uint256, fresh: bool
) -> (uint256, uint256, uint256[MAX_LEAVES]):
    """
    @dev Adds up what leaves are due.
    @param job The job's id.
    @param at Where the leaves begin in msg.data.
    @param count How many there are.
    @param skipped Those that do not count, as bits.
    @param rate What each round is worth.
    @param fresh Whether nobody was ever paid by a proof (`_is_fresh`).
    @return (uint256, uint256, uint256[256]) The number of rounds, the merit,
            and what each leaf is due.
    """
    number: uint256 = 0
    merit: uint256 = 0
    amounts: uint256[MAX_LEAVES] = empty(uint256[MAX_LEAVES])
    leaf: uint256 = at
    for i: uint256 in range(count, bound=MAX_LEAVES):
        if (skipped >> i) & 1 == 0:
            bits: uint256 = 0
            worth: uint256 = 0
            bits, worth = self._due(job, leaf, fresh)
            rounds: uint256 = ledger._ones(bits)
            # Unchecked: 256 leaves of 255 rounds at less than 2 ** 96 each, and
            # of merit below 2 ** 128.
            number = unsafe_add(number, rounds)
            merit = unsafe_add(merit, worth)
            amounts[i] = unsafe_add(unsafe_mul(rounds, rate), worth)
        leaf = unsafe_add(leaf, LEAF_BYTES)
    return number, merit, amounts


@internal
def _push_all(
    token: address,
    at: uint256,
    count: uint256,
    skipped: uint256,
    amounts: uint256[MAX_LEAVES],
) -> uint256:
    """
    @dev Pays leaves, all of which are booked as paid.
    @param token The token; zero for ether.
    @param at Where the leaves begin in msg.data.
    @param count How many there are.
    @param skipped Those that are not to be paid, as bits.
    @param amounts What each is due.
    @return uint256 Which of them refused, as bits.
    """
    refused: uint256 = 0
    leaf: uint256 = at
    for i: uint256 in range(count, bound=MAX_LEAVES):
        if (skipped >> i) & 1 == 0:
            account: address = convert(convert(trees._word(leaf) >> 96, uint160), address)
            if not money._try_push(token, account, amounts[i], PAY_GAS, TOKEN_GAS):
                refused |= 1 << i
        leaf = unsafe_add(leaf, LEAF_BYTES)
    return refused


@internal
def _pay_late(job: bytes32, account: address, shown: uint256, stands: uint256):
    """
    @dev Pays a contribution that a standing settlement leaves out, from the
         bond.
    @param job The job's id.
    @param account The account that earned.
    @param shown The round as a bit; zero where nothing was left out.
    @param stands Since when the settlement stands.
    """
    if shown == 0:
        refusals._refuse("settlement: nothing is left out")
    state: uint256 = ledger.words[job].state
    pay: uint256 = ledger.words[job].pay
    rate: uint256 = pay >> ledger.RATE
    if state >> ledger.BOND == 0 or block.timestamp >= stands + ledger.BOND_TIME:
        refusals._refuse("settlement: no bond is left")
    if rate > state & ledger.BITS_128:
        refusals._refuse("bounty: more than the job holds")
    ledger.paid[job][account] |= shown
    ledger.words[job].state = state - (1 << ledger.BOND) - rate
    log ledger.Claimed(job=job, account=account, amount=rate, rounds_bits=shown, merit=0)
    money._push(self._token(pay), account, rate)


@internal
def _void(job: bytes32, account: address):
    """
    @dev Voids a settlement that does not stand yet, and shares out its bond.
    @param job The job's id.
    @param account The account that it leaves out.
    """
    state: uint256 = ledger.words[job].state
    pay: uint256 = ledger.words[job].pay
    rate: uint256 = pay >> ledger.RATE
    bond: uint256 = state >> ledger.BOND
    unpaid: uint256 = (state >> ledger.UNPAID) & ledger.BITS_24
    reward: uint256 = bond * rate // REWARD
    if unpaid != 0:
        rate = min(rate + (bond * rate - reward) // unpaid, ledger.MAX_RATE)
    # The bond was held beside what is owed, and no more is owed than then.
    ledger.words[job].state = state - (bond << ledger.BOND) - reward
    ledger.words[job].pay = (pay & ledger.BITS_160) | (rate << ledger.RATE)
    ledger.words[job].head |= ledger.BITS_64 << ledger.CLOSES
    log Voided(job=job, account=account, challenger=msg.sender, reward=reward, rate=rate)
    money._push(self._token(pay), msg.sender, reward)


@internal
@view
def _require_stands(job: bytes32) -> uint256:
    """
    @dev Reverts unless the job has a settlement that stands.
    @param job The job's id.
    @return uint256 Its head.
    """
    head: uint256 = ledger._posted(job)
    if not ledger._stands(head):
        refusals._refuse("settlement: none stands")
    return head


@internal
@view
def _proved(job: bytes32, head: uint256, position: uint256, at: uint256) -> (uint256, uint256):
    """
    @dev Reads a leaf with its proof, and reverts unless it stands there.
    @param job The job's id.
    @param head The job's head.
    @param position The leaf's position in the settlement.
    @param at Where the leaf begins in msg.data.
    @return (uint256, uint256) The word of the leaf's part, and where the proof
            ends.
    """
    part: uint256 = position >> 8
    if part > head >> ledger.PARTS:
        refusals._refuse("settlement: no such leaf")
    word: uint256 = self.parts[job][part]
    count: uint256 = word & _COUNT_MASK
    within: uint256 = position & 255
    if within >= count:
        refusals._refuse("settlement: no such leaf")
    depth: uint256 = trees._depth(count)
    proof: uint256 = at + LEAF_BYTES
    leaf: bytes32 = keccak256(slice(msg.data, at, trees.RANGE_LEAF_BYTES))
    root: uint256 = convert(trees._index_root(within, depth, leaf, proof), uint256)
    if root >> _ROOT != word >> _ROOT:
        refusals._refuse("settlement: no such leaf")
    return word, proof + depth * trees.NODE_BYTES


@internal
@view
def _standing(
    job: bytes32, head: uint256, account: address, position: uint256, size: uint256
) -> (uint256, uint256):
    """
    @dev Reads what a settlement has for an account, from `challenge`'s places.
         Leaves that are next to each other, with the account between them, show
         that it has none: they ascend, or the settlement is false anyway.
    @param job The job's id.
    @param head The job's head.
    @param account The account.
    @param position The first leaf's position.
    @param size How many bytes the places have.
    @return (uint256, uint256) The account's rounds as bits, and its merit.
    """
    at: uint256 = trees._word(_CHALLENGE_PLACES) + 36
    word: uint256 = 0
    end: uint256 = 0
    word, end = self._proved(job, head, position, at)
    wanted: uint256 = convert(account, uint256)
    found: uint256 = trees._word(at) >> 96
    bits: uint256 = 0
    merit: uint256 = 0
    if found == wanted:
        bits = trees._word(at + 20)
        merit = trees._word(at + 36) & ledger.BITS_128
    elif found > wanted:
        if position != 0:
            refusals._refuse("settlement: place is elsewhere")
    elif position >> 8 != head >> ledger.PARTS or (position & 255) + 1 != word & _COUNT_MASK:
        next: uint256 = end
        word, end = self._proved(job, head, position + 1, next)
        found = trees._word(next) >> 96
        if found <= wanted:
            refusals._refuse("settlement: place is elsewhere")
    if end != at + size:
        refusals._refuse("settlement: no end at a proof")
    return bits, merit


@internal
@view
def _account(at: uint256) -> address:
    """
    @dev Reads a leaf's account.
    @param at Where the leaf begins in msg.data.
    @return address The account.
    """
    return convert(convert(trees._word(at) >> 96, uint160), address)


@internal
@pure
def _token(pay: uint256) -> address:
    """
    @dev Reads the token in a job's terms.
    @param pay The job's word of token and rate.
    @return address The token; zero for ether.
    """
    return convert(convert(pay & ledger.BITS_160, uint160), address)


@internal
@view
def _due(job: bytes32, at: uint256, fresh: bool) -> (uint256, uint256):
    """
    @dev Reads a leaf's rounds and merit, less what was paid by proofs.
    @param job The job's id.
    @param at Where the leaf begins in msg.data.
    @param fresh Whether nobody was ever paid by a proof (`_is_fresh`).
    @return (uint256, uint256) The rounds as bits, and the merit.
    """
    bits: uint256 = trees._word(at + 20)
    merit: uint256 = trees._word(at + 36) & ledger.BITS_128
    if fresh:
        return bits, merit
    known: uint256 = ledger.paid[job][self._account(at)]
    if known >> ledger.MAX_ROUNDS != 0:
        merit = 0
    return bits & ~known, merit


@internal
@pure
def _is_fresh(head: uint256, state: uint256) -> bool:
    """
    @dev Says whether nobody was ever paid by proofs of rounds or merit, so that
         no account's word has to be read: all that was paid was settled.
    @param head The job's head.
    @param state The job's state.
    @return bool True while that is so.
    """
    paid: uint256 = ((state >> ledger.CONTRIBUTIONS) & ledger.BITS_24) - (
        (state >> ledger.UNPAID) & ledger.BITS_24
    )
    return paid == (state >> ledger.SETTLED_ROUNDS) & ledger.BITS_20 and (
        (head >> ledger.MERIT_CLAIMED) & 1 == 0
    )


@internal
def _spend(
    job: bytes32, head: uint256, state: uint256, number: uint256, amount: uint256, merit: uint256
):
    """
    @dev Books a payment of the settlement. Rounds beyond those that are unpaid
         come from the bond: only a false settlement names so many.
    @param job The job's id.
    @param head The job's head.
    @param state The job's state.
    @param number How many rounds are paid.
    @param amount All that is paid.
    @param merit The merit of it.
    """
    left: uint256 = state
    unpaid: uint256 = (state >> ledger.UNPAID) & ledger.BITS_24
    rounds: uint256 = number
    if number > unpaid:
        rounds = unpaid
        stands: uint256 = (head >> ledger.CLOSES) & ledger.BITS_64
        if not (number - unpaid <= state >> ledger.BOND and block.timestamp < stands + ledger.BOND_TIME):
            refusals._refuse("settlement: beyond what is owed")
        left -= (number - unpaid) << ledger.BOND
    if amount > state & ledger.BITS_128:
        refusals._refuse("bounty: more than the job holds")
    ledger.words[job].state = (
        left - (rounds << ledger.UNPAID) + (rounds << ledger.SETTLED_ROUNDS) - amount
    )
    if merit != 0:
        pot: uint256 = ledger.words[job].pot
        if merit > pot >> ledger.MERIT_LEFT:
            refusals._refuse("bounty: more than the merit left")
        ledger.words[job].pot = pot - (merit << ledger.MERIT_LEFT)


@internal
def _give_back(job: bytes32, number: uint256, amount: uint256, merit: uint256):
    """
    @dev Books back what accounts refused, to what is unpaid.
    @param job The job's id.
    @param number How many rounds were refused.
    @param amount All that was refused.
    @param merit The merit of it.
    """
    state: uint256 = ledger.words[job].state
    ledger.words[job].state = (
        state + (number << ledger.UNPAID) - (number << ledger.SETTLED_ROUNDS) + amount
    )
    ledger.words[job].pot += merit << ledger.MERIT_LEFT


@internal
@view
def _paid(job: bytes32, part: uint256, word: uint256) -> uint256:
    """
    @dev Reads which leaves of a part were paid.
    @param job The job's id.
    @param part The part's index.
    @param word The part's word.
    @return uint256 A bit for each leaf.
    """
    paid: uint256 = (word >> _INLINE) & _INLINE_MASK
    if word & _COUNT_MASK > 55:
        paid |= self.more_paid[job][part]
    return paid


@internal
def _set_paid(job: bytes32, part: uint256, word: uint256, paid: uint256):
    """
    @dev Stores which leaves of a part were paid.
    @param job The job's id.
    @param part The part's index.
    @param word The part's word, as it was read.
    @param paid A bit for each leaf.
    """
    inline: uint256 = (word & ~(_INLINE_MASK << _INLINE)) | ((paid & _INLINE_MASK) << _INLINE)
    self.parts[job][part] = inline
    if word & _COUNT_MASK > 55:
        self.more_paid[job][part] = paid & ~_INLINE_MASK
