"""Contributions that prove their norm, in workers: deal, check, decide, add, open.

Plain functions over bytes. Pieces are secrets of their dealers: they are opened here, used, and
kept nowhere but in their boxes.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from node.store.blobs import BlobRef
from node.work import tasks
from protocol.books import dealings
from protocol.books.dealings import Dealer, Said
from protocol.errors import Malformed
from protocol.layout.packing import batch_maker
from protocol.spec.job import JobSpec
from protocol.wire.codec import encode
from protocol.wire.envelope import Context
from protocol.wire.messages import Ready

if TYPE_CHECKING:
    from protocol.arith.proofs.statement import Statement


@dataclass(frozen=True, slots=True)
class Keys:
    """The key that seals this dealer's pieces (private), and every member's sealing key, by
    position in the block."""

    private: bytes = field(repr=False)
    sealing: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Held:
    """A dealer, its public key of the attempt, and its box for this member, if it came."""

    dealer: Dealer
    key: bytes
    box: BlobRef | None


@dataclass(frozen=True, slots=True)
class SaidWords:
    """A member's words as a blob, their hashes by dealer, and how many it has none of."""

    result: tasks.Result
    hashes: tuple[bytes, ...]
    missing: int


@dataclass(frozen=True, slots=True)
class Judged:
    """What a verdict comes to. Members by index: `passed` count, `failed` are proven to cheat,
    `able` can add the pieces of all that passed. `reasons` are why a dealer is left out."""

    passed: tuple[int, ...]
    failed: tuple[int, ...]
    able: tuple[int, ...]
    reasons: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class OpenedSum:
    """A block's sum as a blob of int64, or none; who gave a right sum, and who a wrong one."""

    blob: BlobRef | None
    good: tuple[int, ...]
    bad: tuple[int, ...]
    reason: str


@lru_cache(maxsize=16)
def statement_of(spec: JobSpec, members: int) -> Statement:
    """What is proven in a block of `members`."""
    from protocol.arith.proofs.statement import Statement

    return Statement(
        spec.parameter_count,
        spec.norm_bound,
        members,
        spec.threshold(members),
        spec.privacy.corrupt,
    )


def make_ready(opening: bytes) -> tuple[Ready, bytes]:
    """Ready of one attempt, and the private key whose public side it says."""
    from protocol.arith.secagg.agreement import new_key

    private, public = new_key(secrets.token_bytes)
    return Ready(opening, public, b"", b"", (), (), ()), private


def contribution(
    work: tasks.Work,
    gradient: tasks.Gradient,
    place: Context,
    roster_digest: bytes,
    peer: bytes,
    keys: Keys,
) -> tasks.Result:
    """An owner's dealing of one attempt: a box for each member, and the blob that names them.

    Raises InputError where the vector is longer than can be proven: its owner sits this one out.
    """
    from protocol.arith.encoding.boxes import seal_piece
    from protocol.arith.proofs.prove import share_and_prove

    spec = tasks.spec_of(work)
    integers, facts = tasks.integers_of(work, gradient)
    statement = statement_of(spec, len(keys.sealing))
    binding = dealings.binding_of(place, roster_digest, peer)
    dealt = share_and_prove(statement, integers, binding, secrets.token_bytes)
    boxes = []
    for position, (public, piece) in enumerate(zip(keys.sealing, dealt.pieces, strict=True)):
        said = commitment_at(dealt.commitments, position)
        sealed = seal_piece(keys.private, public, binding, position, piece, said)
        boxes.append(tasks.put(work, sealed).digest)
    dealing = dealings.Dealing(dealt.commitments, tuple(boxes))
    data = dealings.encode_dealing(batch_maker(encode(place), peer), dealing)
    return tasks.Result(tasks.put(work, data), facts=facts)


def check(
    work: tasks.Work, dealing: BlobRef, members: int, place: Context, peer: bytes
) -> tasks.Result:
    """Raises Malformed unless a received dealing is well formed, and made by `peer` for this."""
    maker = batch_maker(encode(place), peer)
    dealings.decode_dealing(tasks.get(work, dealing), members, maker)
    return tasks.Result(None)


def words(
    work: tasks.Work, members: int, position: int, private: bytes, held: Sequence[Held]
) -> SaidWords:
    """This member's word on each dealer: empty where its piece did not come, or does not hold."""
    from protocol.arith.proofs.verify import verify_word

    spec = tasks.spec_of(work)
    statement, found = statement_of(spec, members), []
    for each in held:
        try:
            piece = _piece(work, private, position, each)
            dealer = each.dealer
            word = verify_word(
                statement, dealer.binding, dealer.dealing.commitments, position, piece
            )
        except Malformed:
            word = b""
        found.append(word)
    result = tasks.Result(tasks.put(work, dealings.encode_words(found)))
    return SaidWords(result, dealings.word_hashes(found), sum(not word for word in found))


def _piece(work: tasks.Work, private: bytes, position: int, held: Held) -> bytes:
    from protocol.arith.encoding.boxes import open_piece

    if held.box is None:
        raise Malformed("its box did not come")
    box = tasks.get(work, held.box)
    said = commitment_at(held.dealer.dealing.commitments, position)
    return open_piece(private, held.key, held.dealer.binding, position, box, said)


def commitment_at(commitments: bytes, position: int) -> bytes:
    """The commitment to the piece of the member at `position`."""
    return commitments[32 * position : 32 * (position + 1)]


def judge(
    work: tasks.Work, members: int, dealers: Sequence[Dealer], said: Sequence[Said]
) -> Judged:
    """What a block's words come to: everybody who has them comes to the same."""
    from protocol.arith.proofs.settle import settle
    from protocol.arith.proofs.verify import Outcome

    statement = statement_of(tasks.spec_of(work), members)
    by_dealer = dealings.words_of(dealers, said)
    passed, failed, reasons = [], [], []
    able = {each.position for each in said}
    for dealer in dealers:
        told = by_dealer[dealer.member]
        found = settle(statement, dealer.binding, dealer.dealing.commitments, told, len(said))
        if found.outcome is Outcome.PASSED:
            passed.append(dealer.member)
            able &= found.stand
            continue
        if found.outcome is Outcome.FAILED:
            failed.append(dealer.member)
        reasons.append((dealer.member, found.reason))
    can = tuple(each.member for each in said if each.position in able)
    return Judged(tuple(passed), tuple(failed), can, tuple(reasons))


def cheated(
    work: tasks.Work, members: int, dealer: Dealer, told: tuple[tuple[int, bytes], ...]
) -> bool:
    """Whether signed words show that a dealer cheated."""
    from protocol.arith.proofs.settle import settle
    from protocol.arith.proofs.verify import Outcome

    statement = statement_of(tasks.spec_of(work), members)
    found = settle(statement, dealer.binding, dealer.dealing.commitments, told, len(told))
    return found.outcome is Outcome.FAILED


def add(
    work: tasks.Work, members: int, position: int, private: bytes, held: Sequence[Held]
) -> BlobRef:
    """This member's sum of its pieces of those that the commitment lists. Raises Malformed where
    one is not there any more: its words on it were said before."""
    from protocol.arith.proofs.sums import sum_shares

    statement = statement_of(tasks.spec_of(work), members)
    pieces = [_piece(work, private, position, each) for each in held]
    return tasks.put(work, sum_shares(statement, pieces))


def open_block(
    work: tasks.Work,
    members: int,
    positions: tuple[tuple[int, int], ...],
    sums: tuple[tuple[int, BlobRef], ...],
    listed: int,
) -> OpenedSum:
    """A block's sum from its members' sums (member, blob); `positions` are (member, position)."""
    from protocol.arith.proofs.sums import open_sum

    statement, place = statement_of(tasks.spec_of(work), members), dict(positions)
    told = [(place[member], tasks.get(work, ref)) for member, ref in sums]
    found = open_sum(statement, told, listed)
    bad = tuple(sorted(m for m, _ in sums if place[m] in found.liars))
    good = tuple(sorted(m for m, _ in sums if place[m] not in found.liars))
    if found.integers is None:
        return OpenedSum(None, (), bad, found.reason)
    if not found.certain:
        # Liars among so few could have made another sum of it, of any norm that it may have.
        needed = statement.threshold + statement.corrupt
        return OpenedSum(None, (), bad, f"{len(sums)} sums open it, {needed} make it certain")
    blob = tasks.put(work, found.integers.astype("<i8").tobytes())
    return OpenedSum(blob, good, bad, "")
