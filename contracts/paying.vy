# pragma version 0.4.3
"""
@title Payment of whole rounds
@custom:contract-name paying
@license Apache-2.0
@author The authors of assay
@notice Pays everybody of one or more whole rounds in one call, from the rounds'
        full lists. docs/spec/contract.md, 'Whole rounds', states the rules.
@dev Nothing is taken on trust: each round's root is rebuilt from its list and
     compared with what was committed. So there is no window, no bond, and
     nothing to challenge. Rounds are paid in full in their order, so that one
     number says which are, and no account needs a word of storage. Whoever
     could not be paid has one, `missed`, and claims by proof as if the rounds
     had not been paid in full.

     An account that stands twice in a round is paid once, as by `claim`.
"""


from . import ledger
from . import money
from . import trees


uses: ledger


# One byte names an account in a list.
MAX_ACCOUNTS: public(constant(uint256)) = 256
# Rounds of one call are bits beside an account in a word.
MAX_WHOLE_ROUNDS: public(constant(uint256)) = 96
_ROUND_BITS: constant(uint256) = 2**96 - 1

# Where the lists begin in the call's data: behind the selector and five words.
_LISTS: constant(uint256) = 4 + 5 * 32
_ACCOUNT_BYTES: constant(uint256) = 20
_MERIT_BYTES: constant(uint256) = 17
_ENTRY_BYTES: constant(uint256) = 25


# A word for each account: its 20 bytes and, below them, a bit for each round
# that it was paid for, the lowest for `first`. Where `merit` is true a second
# word follows each: its merit, or equal shares. What it was paid is bits * rate
# + merit. An account that could not be paid has no bits and no merit.
event Paid:
    job: indexed(bytes32)
    first: uint16
    rounds: uint16
    merit: bool
    payments: DynArray[uint256, 2 * MAX_ACCOUNTS]


# A payment under way. A struct, because Venom keeps few values at hand.
struct Whole:
    job: bytes32
    first: uint256
    rounds: uint256
    accounts: uint256
    merits: uint256
    state: uint256
    pot: uint256
    rate: uint256
    token: address
    # The equal share of a contribution.
    share: uint256
    # Whether nobody ever claimed in this job.
    fresh: bool
    # Contributions paid, merit paid, all paid, and what of it came back.
    number: uint256
    worth: uint256
    total: uint256
    back: uint256


@internal
def _pay(job: bytes32, first: uint256, rounds: uint256, accounts: uint256, merits: uint256):
    """
    @dev Pays everybody of whole rounds.
    @param job The job's id.
    @param first The first round.
    @param rounds The number of rounds.
    @param accounts The number of accounts in the lists.
    @param merits The number of the sum tree's entries, zero for none.
    """
    whole: Whole = empty(Whole)
    whole.job = job
    whole.first = first
    whole.rounds = rounds
    whole.accounts = accounts
    whole.merits = merits
    head: uint256 = ledger._posted(whole.job)
    whole.state = ledger.words[whole.job].state
    whole.pot = ledger.words[whole.job].pot
    pay: uint256 = ledger.words[whole.job].pay
    whole.rate = pay >> ledger.RATE
    whole.token = convert(convert(pay & ledger.BITS_160, uint160), address)
    money._require_token(whole.token)
    assert whole.rounds != 0 or whole.merits != 0, "paying: nothing to pay"
    assert whole.rounds <= MAX_WHOLE_ROUNDS, "paying: more than 96 rounds"
    full: uint256 = (whole.state >> ledger.FULL) & ledger.BITS_8
    assert whole.first == full, "paying: not the next round to be paid in full"
    committed_rounds: uint256 = (whole.state >> ledger.NEXT_ROUND) & ledger.BITS_8
    assert full + whole.rounds <= committed_rounds, "paying: round is not committed"

    # How merit is shared must be certain, because whole rounds leave no trace
    # by which an equal share could be claimed later.
    if not ledger._is_by_tree(head):
        assert whole.merits == 0, "paying: merit without a sum tree"
        if whole.pot & ledger.BITS_128 != 0:
            assert ledger._is_closed(head), "paying: merit is not certain yet"
            contributions: uint256 = (whole.state >> ledger.CONTRIBUTIONS) & ledger.BITS_24
            whole.share = (whole.pot & ledger.BITS_128) // contributions

    # Storage is read for an account only where anybody ever claimed.
    whole.fresh = (whole.state >> ledger.UNPAID) & ledger.BITS_24 == (
        whole.state >> ledger.CONTRIBUTIONS
    ) & ledger.BITS_24 and whole.pot >> ledger.MERIT_LEFT == whole.pot & ledger.BITS_128

    # Whole subtrees to the left, by height, and trees of padding, as many as
    # were needed so far.
    left: uint256[trees.MAX_DEPTH + 1] = empty(uint256[trees.MAX_DEPTH + 1])
    padding: uint256[trees.MAX_DEPTH + 1] = empty(uint256[trees.MAX_DEPTH + 1])
    padded: uint256 = 0
    payments: DynArray[uint256, 2 * MAX_ACCOUNTS] = []
    at: uint256 = _LISTS
    last: uint256 = 0
    # Words an account: its merit has one of its own only where there is any.
    stride: uint256 = 1
    if whole.merits != 0 or whole.share != 0:
        stride = 2
    for _: uint256 in range(whole.accounts, bound=MAX_ACCOUNTS):
        # The 32 bytes that end where the account's 20 do.
        account: uint256 = convert(slice(msg.data, unsafe_sub(at, 12), 32), uint256) << 96
        assert account > last, "paying: accounts do not ascend"
        payments.append(account)
        if stride == 2:
            payments.append(0)
        last = account
        at = unsafe_add(at, _ACCOUNT_BYTES)

    if whole.merits != 0:
        assert (whole.state >> ledger.MERIT_FULL) & 1 == 0, "paying: merit is paid in full already"
        root: trees.SumNode = self._merit_root(at, whole.merits)
        assert root.hash == ledger.words[whole.job].merit_root, "paying: merit is not what the root says"
        assert root.total == whole.pot & ledger.BITS_128, "paying: merit does not add up to the pot"
        for _: uint256 in range(whole.merits, bound=MAX_ACCOUNTS):
            word: uint256 = convert(slice(msg.data, at - 15, 32), uint256)
            place: uint256 = 2 * ((word >> 128) & ledger.BITS_8)
            # `claim` pays merit once an account: so does this.
            assert payments[place + 1] == 0, "paying: an account has merit twice"
            payments[place + 1] = word & ledger.BITS_128
            at = unsafe_add(at, _MERIT_BYTES)
        whole.state |= 1 << ledger.MERIT_FULL

    for index: uint256 in range(whole.rounds, bound=MAX_WHOLE_ROUNDS):
        committed: uint256 = ledger.committed[whole.job][whole.first + index]
        contributions: uint256 = committed & ledger.BITS_16
        bit: uint256 = 1 << index
        node: uint256 = 0
        height: uint256 = 0
        for position: uint256 in range(contributions, bound=ledger.MAX_COHORT):
            # The 32 bytes that end where the entry's 25 do. Unchecked: the lists
            # begin past 32.
            word: uint256 = convert(slice(msg.data, unsafe_sub(at, 7), 32), uint256)
            at = unsafe_add(at, _ENTRY_BYTES)
            # Unchecked: a byte, twice at most.
            place: uint256 = unsafe_mul(word & ledger.BITS_8, stride)
            known: uint256 = payments[place]
            payments[place] = known | bit
            # As `trees._contribution_leaf` and `trees._joined` have it; calls
            # would cost half as much again.
            node = convert(
                keccak256(
                    abi_encode(
                        (known & ~_ROUND_BITS) | trees.LEAF_MARK, (word << 56) & trees.NODE_MASK
                    )
                ),
                uint256,
            )
            height = 0
            # A position is below 2 ** MAX_DEPTH, so that this ends by its break.
            for level: uint256 in range(trees.MAX_DEPTH):
                if (position >> level) & 1 == 0:
                    break
                node = convert(
                    keccak256(abi_encode(left[level], node & trees.NODE_MASK)), uint256
                )
                height = unsafe_add(level, 1)
            left[height] = node & trees.NODE_MASK
        root: uint256 = node
        # Up to the root: what stands to the right of the last leaf is padding.
        depth: uint256 = trees._depth(contributions)
        if height < depth:
            path: uint256 = (contributions - 1) >> height
            for _: uint256 in range(trees.MAX_DEPTH):
                if height == depth:
                    break
                if path & 1 == 0:
                    for level: uint256 in range(trees.MAX_DEPTH):
                        if padded >= height:
                            break
                        padding[padded + 1] = trees._joined(padding[padded], padding[padded])
                        padded = unsafe_add(padded, 1)
                    root = trees._joined(root, padding[height])
                else:
                    root = trees._joined(left[height], root)
                path >>= 1
                height = unsafe_add(height, 1)
        assert root >> 16 == committed >> 16, "paying: list is not what was committed"
    assert at == len(msg.data), "paying: lists do not end with the call"

    # What is due, account by account.
    # Unchecked: places are below 512, rounds at most 96, a rate below 2 ** 96,
    # a merit below 2 ** 128, so that no sum comes near 2 ** 256.
    last = 0
    count: uint256 = 0
    for index: uint256 in range(whole.accounts, bound=MAX_ACCOUNTS):
        place: uint256 = unsafe_mul(index, stride)
        entry: uint256 = payments[place]
        bits: uint256 = entry & _ROUND_BITS
        if stride == 2 or not whole.fresh:
            shared: uint256 = bits
            claimed: uint256 = 0
            if not whole.fresh:
                account: address = convert(convert(entry >> 96, uint160), address)
                claimed = ledger.claimed[whole.job][account]
                bits &= ~(claimed >> whole.first)
                payments[place] = (entry & ~_ROUND_BITS) | bits
                if whole.share != 0:
                    shared &= ~(ledger.shared[whole.job][account] >> whole.first)
            if stride == 2:
                worth: uint256 = payments[unsafe_add(place, 1)]
                if claimed & ledger.MERIT_BIT != 0:
                    worth = 0
                if whole.share != 0:
                    worth = unsafe_add(worth, unsafe_mul(whole.share, ledger._ones(shared)))
                payments[unsafe_add(place, 1)] = worth
                whole.worth = unsafe_add(whole.worth, worth)
        # Most accounts have the rounds of the one before.
        if bits != last:
            count = ledger._ones(bits)
            last = bits
        whole.number = unsafe_add(whole.number, count)
    whole.total = unsafe_add(unsafe_mul(whole.number, whole.rate), whole.worth)
    # The two liabilities and the job's own money bound what its lists can
    # prove, as in `claim`.
    assert whole.number <= (whole.state >> ledger.UNPAID) & ledger.BITS_24, "bounty: more than the rate owed"
    assert whole.total <= whole.state & ledger.BITS_128, "bounty: more than the job holds"
    assert whole.worth <= whole.pot >> ledger.MERIT_LEFT, "bounty: more than the merit left"
    whole.state = (
        whole.state
        + (whole.rounds << ledger.FULL)
        - (whole.number << ledger.UNPAID)
        - whole.total
    )
    ledger.words[whole.job].state = whole.state
    if whole.worth != 0:
        whole.pot -= whole.worth << ledger.MERIT_LEFT
        ledger.words[whole.job].pot = whole.pot

    # Then out. Storage is final for the case that everybody takes it.
    for index: uint256 in range(whole.accounts, bound=MAX_ACCOUNTS):
        # Unchecked: as above.
        place: uint256 = unsafe_mul(index, stride)
        entry: uint256 = payments[place]
        bits: uint256 = entry & _ROUND_BITS
        if bits != last:
            count = ledger._ones(bits)
            last = bits
        due: uint256 = unsafe_mul(count, whole.rate)
        if stride == 2:
            due = unsafe_add(due, payments[unsafe_add(place, 1)])
        if due == 0:
            continue
        account: address = convert(convert(entry >> 96, uint160), address)
        if money._try_push(whole.token, account, due):
            continue
        missed: uint256 = ((1 << whole.rounds) - 1) << whole.first
        if whole.merits != 0:
            missed |= ledger.MERIT_BIT
        ledger.missed[whole.job][account] |= missed
        whole.state = whole.state + (count << ledger.UNPAID) + due
        whole.pot += (due - count * whole.rate) << ledger.MERIT_LEFT
        whole.back += due
        payments[place] = entry & ~_ROUND_BITS
        if stride == 2:
            payments[place + 1] = 0
    if whole.back != 0:
        ledger.words[whole.job].state = whole.state
        ledger.words[whole.job].pot = whole.pot
    log Paid(
        job=whole.job,
        first=convert(whole.first, uint16),
        rounds=convert(whole.rounds, uint16),
        merit=stride == 2,
        payments=payments,
    )


@internal
@view
def _merit_root(start: uint256, merits: uint256) -> trees.SumNode:
    """
    @dev Rebuilds the sum tree over the entries in the call's data.
    @param start Where they begin in msg.data.
    @param merits Their number, at least 1.
    @return SumNode The root.
    """
    left: trees.SumNode[9] = empty(trees.SumNode[9])
    node: trees.SumNode = empty(trees.SumNode)
    height: uint256 = 0
    at: uint256 = start
    for position: uint256 in range(merits, bound=MAX_ACCOUNTS):
        word: uint256 = convert(slice(msg.data, at - 15, 32), uint256)
        at = unsafe_add(at, _MERIT_BYTES)
        # The entry's account stands among the accounts, which the lists begin with.
        account: uint256 = convert(
            slice(msg.data, _LISTS - 12 + _ACCOUNT_BYTES * ((word >> 128) & ledger.BITS_8), 32),
            uint256,
        ) & ledger.BITS_160
        node = trees._sum_leaf(
            position,
            convert(convert(account, uint160), address),
            word & ledger.BITS_128,
        )
        height = 0
        path: uint256 = position
        for _: uint256 in range(8):
            if path & 1 == 0:
                break
            node = trees._sum_joined(left[height], node)
            path >>= 1
            height = unsafe_add(height, 1)
        left[height] = node
    depth: uint256 = trees._depth(merits)
    path: uint256 = (merits - 1) >> height
    padding: trees.SumNode = empty(trees.SumNode)
    for level: uint256 in range(depth, bound=8):
        if level >= height:
            if path & 1 == 0:
                node = trees._sum_joined(node, padding)
            else:
                node = trees._sum_joined(left[level], node)
            path >>= 1
        padding = trees._sum_joined(padding, padding)
    return node
