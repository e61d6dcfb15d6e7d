"""A block under masks in one attempt, and the jobs that its requester posts: material for attacks.

Secrets, boxes, batches, shares and sums are the product's own. Members go by position. Whoever is
a puppet hands the requester its box key, and so its shares of everybody's secrets.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from protocol.arith import kernels
from protocol.arith.encoding.envelope import Envelope
from protocol.arith.learning.models import Family, Floats, Model
from protocol.arith.learning.training import Training
from protocol.arith.numbers.entropy import SEED_BYTES, Entropy, draw, generator
from protocol.arith.numbers.fixedpoint import Integers
from protocol.arith.secagg.agreement import new_key
from protocol.arith.secagg.masked import centred, decode_words
from protocol.arith.secagg.masks import Binding, contribution_mask
from protocol.arith.secagg.sharing import Kind, check_box, make_ready, reconstruct
from protocol.layout.packing import MASKS
from protocol.policy.policy import Policy
from protocol.policy.rules import DatasetFacts, Decision, Standing, judge
from protocol.policy.terms import Value, with_changes
from protocol.spec.checks import least_threshold
from protocol.spec.job import ChainRef, JobSpec, Party
from protocol.spec.toml import parse_toml

#: Digits: 64 inputs, 10 classes. An owner's rows all go into one step, so that a gradient is exact.
MODEL = Model(Family.SOFTMAX, 64, 10)
ROWS, CLIP, BITS = 100, 4.0, 16
TRAINING = Training(local_steps=1, batch_rows=ROWS, rate=1.0, clip_norm=CLIP)

_MODULUS = ((1 << 3071) + 1).to_bytes(384, "big")
_OPENING, _PLACE, _CONTRACT = bytes(32), b"an attempt", bytes(20)
_EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "digits.toml"


class Block:
    """One attempt of a block of `members`, of whom `corrupt` may work for the requester."""

    def __init__(self, members: int, corrupt: int, entropy: Entropy) -> None:
        self.everybody = tuple(range(members))
        self.threshold = least_threshold(members, corrupt)
        self.envelope = Envelope(_MODULUS, BITS, CLIP, members, MASKS)
        self._entropy = entropy
        self._peers = [member.to_bytes(32, "big") for member in self.everybody]
        keys = [new_key(entropy) for _ in self.everybody]
        self._box_keys = [private for private, _ in keys]
        told = [(peer, public) for peer, (_, public) in zip(self._peers, keys, strict=True)]
        made = [
            make_ready(entropy, _OPENING, _PLACE, peer, told, self.threshold)
            for peer in self._peers
        ]
        self._secrets = [secrets for secrets, _ in made]
        self._parts = [parts for _, parts in made]

    def batch(self, member: int, numbers: Integers, roster: Collection[int]) -> bytes:
        """What a member sends: its numbers under this roster's masks."""
        return kernels.close(
            self.envelope,
            numbers,
            self._secrets[member],
            member,
            self._keys(roster),
            self._binding(roster),
            self._peers[member],
            self._entropy,
        )

    def opened(
        self, batches: Mapping[int, bytes], roster: Collection[int], holders: Collection[int]
    ) -> Integers | None:
        """The sum of `batches`, by the shares of `holders`: seeds of the listed members, mask keys
        of the roster's others. None where these shares are too few."""
        seeds = {member: self._rebuilt("seed", member, holders) for member in batches}
        others = [member for member in roster if member not in batches]
        keys = {member: self._rebuilt("key", member, holders) for member in others}
        present = [(m, self._parts[m].mask_key, seed) for m, seed in seeds.items() if seed]
        dropped = [(member, key) for member, key in keys.items() if key]
        if len(present) < len(seeds) or len(dropped) < len(keys):
            return None
        values, binding = MODEL.parameter_count, self._binding(roster)
        removal = kernels.unmask_vector(self.envelope, values, binding, present, dropped)
        total = kernels.sum_batches(self.envelope, list(batches.values()), values)
        return kernels.open_sum(None, total, removal, self.envelope, len(batches), values)

    def alone(
        self, member: int, batch: bytes, roster: Collection[int], holders: Collection[int]
    ) -> Integers | None:
        """One member's numbers, by both of its secrets: what no honest member's shares serve for.
        None where the shares of `holders` are too few."""
        seed, key = (self._rebuilt(kind, member, holders) for kind in ("seed", "key"))
        if seed is None or key is None:
            return None
        words, shape = self.envelope.words, self.envelope.shape(MODEL.parameter_count)
        masks = contribution_mask(
            words, shape.count, key, seed, member, self._keys(roster), self._binding(roster)
        )
        return centred(words.subtract(decode_words(batch, shape, None), masks), words)

    def _rebuilt(self, kind: Kind, member: int, holders: Collection[int]) -> bytes | None:
        shares = {holder: self._share(kind, member, holder) for holder in holders}
        parts, peer = self._parts[member], self._peers[member]
        return reconstruct(kind, shares, parts, self.threshold, peer, _OPENING).secret

    def _share(self, kind: Kind, member: int, holder: int) -> bytes:
        seed, key = check_box(
            self._box_keys[holder],
            self._parts[member],
            holder,
            _OPENING,
            _PLACE,
            self._peers[member],
            self._peers[holder],
        )
        return seed if kind == "seed" else key

    def _keys(self, roster: Collection[int]) -> list[tuple[int, bytes]]:
        return [(member, self._parts[member].mask_key) for member in roster]

    def _binding(self, roster: Collection[int]) -> Binding:
        digest = hashlib.sha256(bytes(roster)).digest()
        return Binding(1, _CONTRACT, bytes(32), 0, 0, bytes(32), digest, _MODULUS)


def owners_rows(count: int, entropy: Entropy) -> list[tuple[Floats, Floats]]:
    """Rows and classes of so many owners."""
    random = generator(draw(entropy, SEED_BYTES), "attacked rows")
    return [
        (random.random((ROWS, MODEL.inputs)), random.integers(0, MODEL.classes, ROWS).astype(float))
        for _ in range(count)
    ]


def gradient(
    rows: tuple[Floats, Floats], weights: bytes, block: Block, entropy: Entropy
) -> Integers:
    """What an owner contributes without noise, on the requester's weights, before its masks."""
    seed = draw(entropy, SEED_BYTES)
    return kernels.train(MODEL, weights, *rows, TRAINING, block.envelope, seed, entropy)[0]


def posted(*, corrupt: int = 1, dropouts: int = 0, owners: int = 5) -> JobSpec:
    """The digits' job for so many owners in one block, as a requester posts it. With dropouts it
    adds noise, because nothing else allows them."""
    spec = parse_toml(_EXAMPLE.read_text(encoding="utf-8")).complete(
        salt=bytes(16),
        requester=Party(b"\x11" * 20, b"\x22" * 38),
        chain=ChainRef(1337, b"\x33" * 20),
        modulus=_MODULUS,
        seed=bytes(32),
        now=1_800_000_000,
    )
    noise = (8.0, 1e-5) if dropouts else (None, 0.0)
    return dataclasses.replace(
        spec,
        cohort=dataclasses.replace(
            spec.cohort, min_owners=owners, max_owners=owners, block_size=owners
        ),
        training=dataclasses.replace(spec.training, local_steps=1),
        encryption=dataclasses.replace(spec.encryption, value_bits=24),
        privacy=dataclasses.replace(
            spec.privacy, epsilon=noise[0], delta=noise[1], dropouts=dropouts, corrupt=corrupt
        ),
    )


def judged(spec: JobSpec, joined: int = 0, **terms: Value) -> Decision:
    """What an owner's policy makes of a job: it takes any that its other terms let through."""
    policy = with_changes(Policy.closed(), {"accept": "auto", "no_noise": True, **terms})
    return judge(policy, spec, DatasetFacts(spec.columns, ROWS), Standing(joined=joined))


def right(found: Integers | None, truth: Integers, within: int = 0) -> int:
    """How many numbers were read, each within so many steps of the wire's grid."""
    return 0 if found is None else int(np.count_nonzero(np.abs(found - truth) <= within))
