"""What a requester and its corrupt owners can open with all that they hold: tried in earnest.

A spy pools messages, blobs, sealing keys and attempts' secrets. It opens every box that it has a
key for, takes every share that was released, puts together every secret of which it has as many
shares as the threshold asks for, and takes every mask off that it can compute. What is left are
equations: each contribution is its maker's numbers plus masks that are not known. Whatever linear
combination of contributions is free of unknown masks, the spy finds (by elimination over the
rationals), and what it says can be computed it does compute.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from node.work import secagg as secagg_tasks
from node.work import tasks
from protocol.arith.paillier.batch import decode_batch
from protocol.arith.secagg.agreement import public_of
from protocol.arith.secagg.masked import centred, decode_words
from protocol.arith.secagg.masks import Binding, Residues, pair_seed, self_seed
from protocol.arith.secagg.sharing import (
    Kind,
    Secrets,
    box_context,
    join,
    open_box,
    seed_hash,
    share_hash,
)
from protocol.books import lists
from protocol.books.enrolment import Cohort, block_members, draw_blocks
from protocol.books.lists import RosterEntry
from protocol.errors import Malformed
from protocol.layout.packing import MASKS
from protocol.wire.codec import encode
from protocol.wire.envelope import Context, Envelope, envelope_digest, opening_digest
from protocol.wire.messages import Contribution, Open, Ready, Release

if TYPE_CHECKING:
    from simulator.participant import Node
    from simulator.world import World

KINDS: tuple[Kind, Kind] = ("seed", "key")

#: Whose numbers, in which round, on which model.
Numbers = tuple[bytes, int, bytes]
#: An unknown: somebody's numbers, or a mask that cannot be computed.
Token = tuple[str, Any]
Row = dict[Token, Fraction]


@dataclass(frozen=True)
class Held:
    """One honest contribution that the spy has got hold of."""

    sender: bytes
    place: Context
    block: int
    position: int
    roster: tuple[RosterEntry, ...]
    model_digest: bytes
    binding: Binding
    batch: bytes

    @property
    def numbers(self) -> Numbers:
        return self.sender, self.place.round, self.model_digest


@dataclass(frozen=True)
class Opened:
    """A combination of honest contributions that the spy can compute: whose, how, and what."""

    parts: Mapping[Numbers, Fraction]
    recipe: Mapping[int, Fraction]  # by number of the contribution


class Spy:
    """Pools what it is given; `opened` says what comes of it."""

    def __init__(self, world: World, corrupt: tuple[Node, ...] = ()) -> None:
        self.world, self.corrupt = world, corrupt
        self.messages: dict[bytes, Envelope] = {}
        self.blobs: dict[bytes, bytes] = {}
        #: Private keys by public ones: sealing keys, and attempts' mask keys.
        self.sealing: dict[bytes, bytes] = {}
        self.keys: dict[bytes, bytes] = {}
        self.seeds: dict[bytes, bytes] = {}  # by the Ready that hashed it
        self.shares: dict[tuple[bytes, Kind], dict[int, bytes]] = {}
        #: Models on which everybody's numbers are known beforehand: zero, wherever they count.
        self.dull: set[bytes] = set()
        self._numbers: dict[bytes, Any] = {}
        self._tried: set[tuple[bytes, int]] = set()

    @property
    def cohort(self) -> Cohort:
        context = self.world.requester.contexts[self.world.job]
        return context.require_cohort()

    def blocks(self, round_: int) -> tuple[int, ...]:
        seeds = self.world.books.seeds
        return draw_blocks(self.cohort, self.world.spec.cohort, seeds, round_)

    # --- what it holds ----------------------------------------------------------------------

    def learn(self) -> None:
        """Take in all that the requester and the corrupt owners hold by now."""
        for node in (self.world.requester, *self.corrupt):
            self.messages |= node.messages
            self.blobs |= node.blobs
        for node in self.corrupt:
            for name, secret in node.vault.items():
                if name.startswith("once.sealing."):
                    self.sealing[public_of(secret)] = secret
            for data in node.made:
                self.own(Secrets.from_bytes(data))
        self._open_boxes()
        self._take_releases()
        self._join()

    def own(self, secrets: Secrets) -> None:
        """Secrets of an attempt that a corrupt owner drew."""
        self.keys[public_of(secrets.mask_private)] = secrets.mask_private

    def hear(self, envelope: Envelope) -> None:
        self.messages[envelope_digest(envelope)] = envelope

    def _said(self, kind: type) -> list[tuple[bytes, Envelope]]:
        return [(d, e) for d, e in self.messages.items() if isinstance(e.body, kind)]

    def _add(self, digest: bytes, ready: Envelope, kind: Kind, position: int, share: bytes) -> None:
        """A share, where the maker's hash says that it is one."""
        body = ready.body
        assert isinstance(body, Ready)
        hashes = body.seed_hashes if kind == "seed" else body.key_hashes
        if position < len(hashes) and hashes[position] == share_hash(
            kind, share, position, ready.sender, body.opening
        ):
            self.shares.setdefault((digest, kind), {})[position] = share

    def _open_boxes(self) -> None:
        for digest, envelope in self._said(Ready):
            body = envelope.body
            assert isinstance(body, Ready)
            for position, peer, private in self._own_positions(envelope):
                if (digest, "seed") in self.shares and position in self.shares[digest, "seed"]:
                    continue
                context = box_context(encode(envelope.context), body.opening, envelope.sender, peer)
                try:
                    found = open_box(private, body.share_key, context, body.boxes[position])
                except (Malformed, IndexError):
                    continue
                for kind, share in zip(KINDS, found, strict=True):
                    self._add(digest, envelope, kind, position, share)

    def _own_positions(self, envelope: Envelope) -> list[tuple[int, bytes, bytes]]:
        """Where corrupt members sit in a sender's block: (position, peer, sealing key)."""
        sender = self.cohort.index_of(envelope.sender)
        if sender is None:
            return []
        blocks = self.blocks(envelope.context.round)
        whole = block_members(blocks, blocks[sender])
        members = [(p, self.cohort.members[m]) for p, m in enumerate(whole)]
        return [
            (p, m.peer, self.sealing[m.sealing_key])
            for p, m in members
            if m.sealing_key in self.sealing
        ]

    def _take_releases(self) -> None:
        """Whatever a share is of, its hash tells: every Ready of the attempt is tried."""
        readys = self._said(Ready)
        for digest, envelope in self._said(Release):
            body, member = envelope.body, self.cohort.index_of(envelope.sender)
            assert isinstance(body, Release)
            if member is None or (digest, len(readys)) in self._tried:
                continue
            self._tried.add((digest, len(readys)))
            blocks = self.blocks(envelope.context.round)
            position = block_members(blocks, blocks[member]).index(member)
            for name, ready in readys:
                if ready.context == envelope.context:
                    for share in body.shares:
                        for kind in KINDS:
                            self._add(name, ready, kind, position, share)

    def _join(self) -> None:
        """Every secret of which there are as many shares as the job's threshold asks for."""
        for (digest, kind), shares in self.shares.items():
            ready = self.messages[digest]
            body = ready.body
            assert isinstance(body, Ready)
            threshold = self.world.spec.threshold(len(body.boxes))
            if len(shares) < threshold:
                continue
            secret = join(shares, threshold)
            if kind == "key" and public_of(secret) == body.mask_key:
                self.keys[body.mask_key] = secret
            if kind == "seed" and seed_hash(secret, body.opening, ready.sender) == body.seed_hash:
                self.seeds[body.mask_key] = secret

    # --- what it can do with that -------------------------------------------------------------

    def held(self) -> list[Held]:
        """Honest contributions with their batches, each once."""
        bad = {node.peer for node in self.corrupt}
        models = {
            opening_digest(e.context, e.body): e.body.model_digest
            for _, e in self._said(Open)
            if isinstance(e.body, Open)
        }
        found: dict[tuple[bytes, bytes], Held] = {}
        for _, envelope in self._said(Contribution):
            body, place = envelope.body, envelope.context
            assert isinstance(body, Contribution)
            batch, roster = self.blobs.get(body.batch_digest), self.blobs.get(body.roster_digest)
            if envelope.sender in bad or batch is None or roster is None:
                continue
            blocks = self.blocks(place.round)
            entries = lists.roster_entries(self.cohort, blocks, body.block, roster)
            mine = next((e for e in entries if e.member == body.member), None)
            if mine is None or mine.ready.opening not in models:
                continue
            model = models[mine.ready.opening]
            attempt = secagg_tasks.Attempt(place, model, body.roster_digest, entries)
            found[envelope.sender, body.batch_digest] = Held(
                envelope.sender,
                place,
                body.block,
                mine.position,
                entries,
                model,
                secagg_tasks.binding_of(self.world.spec, attempt),
                batch,
            )
        return list(found.values())

    def _masks(self, held: Held) -> list[tuple[Token, int, bytes | None]]:
        """A contribution's masks: name, sign, and the stream's seed where it can be computed."""
        mine = next(e.ready.mask_key for e in held.roster if e.position == held.position)
        binding, private = held.binding, self.keys.get(mine)
        seed = self.seeds.get(mine)
        name = binding.digest()
        own = None if seed is None else self_seed(seed, mine, binding)
        found: list[tuple[Token, int, bytes | None]] = [(("self", (mine, name)), 1, own)]
        for entry in held.roster:
            other = entry.ready.mask_key
            if entry.position == held.position:
                continue
            sign = 1 if held.position < entry.position else -1
            pair: bytes | None = None
            if private is not None:
                pair = pair_seed(private, other, binding)
            elif other in self.keys:
                pair = pair_seed(self.keys[other], mine, binding)
            found.append((("pair", (*sorted((mine, other)), name)), sign, pair))
        return found

    def opened(self) -> list[Opened]:
        """A basis of all combinations of honest numbers that are free of unknown masks."""
        held = self.held()
        rows: list[tuple[Row, Row]] = []  # an equation, and the contributions that it is made of
        for index, each in enumerate(held):
            row: Row = {}
            if each.model_digest not in self.dull:
                row["x", each.numbers] = Fraction(1)
            for token, sign, seed in self._masks(each):
                if seed is None:
                    row[token] = row.get(token, Fraction(0)) + sign
            rows.append(({t: v for t, v in row.items() if v}, {("c", index): Fraction(1)}))
        free = _eliminate(rows, lambda token: token[0] != "x")
        basis = _reduce(free)
        return [
            Opened(
                {token[1]: value for token, value in row.items()},
                {token[1]: value for token, value in recipe.items()},
            )
            for row, recipe in basis
        ]

    def compute(self, opened: Opened) -> npt.NDArray[np.int64]:
        """The numbers of a combination, from the batches themselves."""
        envelope = tasks.envelope_of(self.world.spec)
        held, count = self.held(), self.world.spec.parameter_count
        shape = envelope.shape(count)
        masks = envelope.kind == MASKS
        space: Any = envelope.words if masks else Residues(int.from_bytes(envelope.n, "big"))
        total: Any = space.zero(shape.count)
        for index, factor in opened.recipe.items():
            assert factor.denominator == 1, "nothing that is played here needs a fraction"
            numbers = self._plain(held[index].batch)
            for _, sign, seed in self._masks(held[index]):
                if seed is not None:
                    space.mix(numbers, seed, -sign)
            for _ in range(abs(int(factor))):
                total = (space.add if factor > 0 else space.subtract)(total, numbers)
        if masks:
            return centred(total, envelope.words)
        n = int.from_bytes(envelope.n, "big")
        signed = [int(v) - n if v > n // 2 else int(v) for v in total]
        return envelope.lanes.unpack(signed, count)

    def _plain(self, batch: bytes) -> Any:
        """A batch as its requester decrypts it: numbers under their masks, to be changed."""
        envelope = tasks.envelope_of(self.world.spec)
        shape = envelope.shape(self.world.spec.parameter_count)
        if envelope.kind == MASKS:
            return decode_words(batch, shape, None)
        if batch not in self._numbers:
            key = self.world.paillier
            self._numbers[batch] = key.decrypt(decode_batch(batch, key.public, shape.count, None))
        return list(self._numbers[batch])


def _combine(into: Row, other: Row, factor: Fraction) -> None:
    for token, value in other.items():
        new = into.get(token, Fraction(0)) + factor * value
        if new:
            into[token] = new
        else:
            into.pop(token, None)


def _eliminate(rows: list[tuple[Row, Row]], unknown: Any) -> list[tuple[Row, Row]]:
    """The combinations of rows in which no `unknown` token is left: their whole space."""
    left = [(dict(row), dict(recipe)) for row, recipe in rows]
    while True:
        pivot = next(((i, t) for i, (row, _) in enumerate(left) for t in row if unknown(t)), None)
        if pivot is None:
            return left
        at, token = pivot
        row, recipe = left.pop(at)
        for other, made in left:
            if token in other:
                factor = -other[token] / row[token]
                _combine(other, row, factor)
                _combine(made, recipe, factor)


def _reduce(rows: list[tuple[Row, Row]]) -> list[tuple[Row, Row]]:
    """Reduced row echelon form; rows of nothing are left out."""
    done: list[tuple[Row, Row]] = []
    left = [(row, recipe) for row, recipe in rows if row]
    while left:
        row, recipe = left.pop()
        token = min(row)
        lead = row[token]
        row = {t: v / lead for t, v in row.items()}
        recipe = {t: v / lead for t, v in recipe.items()}
        for group in (left, done):
            for other, made in group:
                if token in other:
                    factor = -other[token]
                    _combine(other, row, factor)
                    _combine(made, recipe, factor)
        left = [(r, m) for r, m in left if r]
        done.append((row, recipe))
    return done
