"""Flower's side: its SecAgg+ primitives, called as its own client and server call them.

The order of calls is that of flwr's `secaggplus_mod` and `SecAggPlusWorkflow`, without their
messages, and where those do what the protocol does not need, this does not: a private key is read
once a stage, not once a peer; the server takes as many shares as the threshold asks for, not all;
masks between two owners that both dropped are not made. All of it is in Flower's favour.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from flwr.common import bytes_to_ndarray, ndarray_to_bytes
from flwr.common.secure_aggregation.crypto.shamir import combine_shares, create_shares
from flwr.common.secure_aggregation.crypto.symmetric_encryption import (
    decrypt,
    encrypt,
    generate_shared_key,
)
from flwr.common.secure_aggregation.ndarrays_arithmetic import (
    parameters_addition,
    parameters_mod,
    parameters_multiply,
    parameters_subtraction,
)
from flwr.common.secure_aggregation.quantization import dequantize, quantize
from flwr.common.secure_aggregation.secaggplus_utils import (
    pseudo_rand_gen,
    share_keys_plaintext_concat,
    share_keys_plaintext_separate,
)
from flwr.supercore.primitives.asymmetric import (
    bytes_to_private_key,
    bytes_to_public_key,
    generate_key_pairs,
    private_key_to_bytes,
    public_key_to_bytes,
)

from scripts.benchmarks.sides.parts import Parts, gradient

PACKAGES = ("flwr", "cryptography", "pycryptodome", "numpy")

#: SecAggPlusWorkflow's own defaults.
_CLIP = 8.0
_TARGET_RANGE = 1 << 22
_MOD_RANGE = 1 << 32

Arrays = list[npt.NDArray[Any]]


def masks(count: int, pairs: int) -> dict[str, object]:
    """Masks of `pairs` pairs, `count` values each, one after another: the mean's seconds."""
    seeds = [os.urandom(32) for _ in range(pairs)]
    began = time.perf_counter()
    for seed in seeds:
        size = pseudo_rand_gen(seed, _MOD_RANGE, [(count,)])[
            0
        ].size  # and dropped, as after its use
    seconds = time.perf_counter() - began
    if size != count:
        raise ValueError(f"{size} values were made, {count} were asked for")
    return {"seconds": seconds / pairs}


@dataclass
class Client:
    """What one owner keeps from stage to stage."""

    number: int
    sk1: bytes = b""
    sk2: bytes = b""
    pk1: bytes = b""
    pk2: bytes = b""
    seed: bytes = b""
    seed_shares: dict[int, bytes] = field(default_factory=dict)
    key_shares: dict[int, bytes] = field(default_factory=dict)
    shared: dict[int, bytes] = field(default_factory=dict)

    def set_up(self) -> None:
        """Stage 'setup': two key pairs."""
        (sk1, pk1), (sk2, pk2) = generate_key_pairs(), generate_key_pairs()
        self.sk1, self.pk1 = private_key_to_bytes(sk1), public_key_to_bytes(pk1)
        self.sk2, self.pk2 = private_key_to_bytes(sk2), public_key_to_bytes(pk2)

    def share_keys(self, clients: list[Client], threshold: int) -> dict[int, bytes]:
        """Stage 'share keys': a sealed pair of shares for every other client."""
        self.seed = os.urandom(32)
        seed_shares = create_shares(self.seed, threshold, len(clients))
        key_shares = create_shares(self.sk1, threshold, len(clients))
        private = bytes_to_private_key(self.sk2)
        sealed = {}
        for other, for_seed, for_key in zip(clients, seed_shares, key_shares, strict=True):
            if other is self:
                self.seed_shares[self.number], self.key_shares[self.number] = for_seed, for_key
                continue
            key = generate_shared_key(private, bytes_to_public_key(other.pk2))
            self.shared[other.number] = key
            sealed[other.number] = encrypt(
                key, share_keys_plaintext_concat(self.number, other.number, for_seed, for_key)
            )
        return sealed

    def open_shares(self, sealed: dict[int, bytes]) -> None:
        """The first half of stage 'collect masked vectors': what the others sealed to this one."""
        for source, box in sealed.items():
            found, to, for_seed, for_key = share_keys_plaintext_separate(
                decrypt(self.shared[source], box)
            )
            if (found, to) != (source, self.number):
                raise ValueError(f"client {self.number} was given a box from {found} to {to}")
            self.seed_shares[source], self.key_shares[source] = for_seed, for_key

    def mask(self, values: npt.NDArray[np.float64], clients: list[Client]) -> tuple[bytes, Arrays]:
        """The second half: (the masked vector's bytes, the quantised vector, for the check)."""
        quantised = quantize(parameters_multiply([values], 1.0), _CLIP, _TARGET_RANGE)
        shapes = [array.shape for array in quantised]
        masked = parameters_addition(quantised, pseudo_rand_gen(self.seed, _MOD_RANGE, shapes))
        private = bytes_to_private_key(self.sk1)
        for other in clients:
            if other is self:
                continue
            key = generate_shared_key(private, bytes_to_public_key(other.pk1))
            pairwise = pseudo_rand_gen(key, _MOD_RANGE, shapes)
            change = parameters_addition if self.number > other.number else parameters_subtraction
            masked = change(masked, pairwise)
        return ndarray_to_bytes(parameters_mod(masked, _MOD_RANGE)[0]), quantised


def whole_round(owners: int, dropped: int, threshold: int, values: int) -> dict[str, object]:
    """A whole round's arithmetic; the last `dropped` owners vanish before they contribute.

    Raises ValueError if what is unmasked is not the sum of what went in.
    """
    parts = Parts()
    clients = [Client(number) for number in range(owners)]
    present = clients[: owners - dropped]
    gradients = {client.number: gradient(client.number, values, _CLIP) for client in present}
    with parts("ready"):
        for client in clients:
            client.set_up()
        sealed = [client.share_keys(clients, threshold) for client in clients]
    with parts("check"):
        for client in clients:
            client.open_shares(
                {n: boxes[client.number] for n, boxes in enumerate(sealed) if n != client.number}
            )
    batches, truth = [], np.zeros(values, dtype=np.int64)
    for client in present:
        with parts("contribute"):
            batch, quantised = client.mask(gradients[client.number], clients)
        batches.append(batch)
        truth += quantised[0]
    with parts("sum"):
        masked = added(bytes_to_ndarray(batch) for batch in batches)
    with parts("reconstruct"):
        helpers = present[:threshold]
        seeds = [combine_shares([h.seed_shares[c.number] for h in helpers]) for c in present]
        gone = clients[owners - dropped :]
        keys = [combine_shares([h.key_shares[c.number] for h in helpers]) for c in gone]
    with parts("unmask"):
        opened = unmasked(masked, seeds, list(zip(gone, keys, strict=True)), present)
    with parts("open"):
        dequantize(opened, _CLIP, _TARGET_RANGE)
    if not np.array_equal(opened[0], truth):
        raise ValueError("what was unmasked is not the sum of what went in")
    return parts.reply()


def added(vectors: Iterable[npt.NDArray[Any]]) -> Arrays:
    """The server's sum of masked vectors."""
    total: Arrays = []
    for vector in vectors:
        total = parameters_addition(total, [vector]) if total else [vector]
    reduced: Arrays = parameters_mod(total, _MOD_RANGE)
    return reduced


def unmasked(
    masked: Arrays, seeds: list[bytes], gone: list[tuple[Client, bytes]], present: list[Client]
) -> Arrays:
    """Stage 'unmask' at the server, from reconstructed seeds and keys."""
    shapes = [array.shape for array in masked]
    for seed in seeds:
        masked = parameters_subtraction(masked, pseudo_rand_gen(seed, _MOD_RANGE, shapes))
    for client, key in gone:
        private = bytes_to_private_key(key)
        for other in present:
            shared = generate_shared_key(private, bytes_to_public_key(other.pk1))
            pairwise = pseudo_rand_gen(shared, _MOD_RANGE, shapes)
            change = parameters_addition if client.number > other.number else parameters_subtraction
            masked = change(masked, pairwise)
    opened: Arrays = parameters_mod(masked, _MOD_RANGE)
    return opened


CALLS: Mapping[str, Callable[..., dict[str, object]]] = {"masks": masks, "round": whole_round}
