"""What a job costs before anybody runs it: sizes and money exactly, seconds roughly.

`assay job check` prints it; the simulator charges its virtual time from it. Bytes are those of
batches and models; headers of gossip and of the transport come on top (a few percent).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from protocol import params
from protocol.packing import model_bytes
from protocol.spec import Terms

# Measured on one shared core at 2.5 GHz, 3072-bit keys. Modular powers grow with about the 2.5th
# power of the key's length in this range (gmpy2 2.3).
_REFERENCE_BITS: Final = 3072
_GROWTH: Final = 2.5
_TABLE_SECONDS: Final = 0.06  # an encryption's fixed-base table
_ENCRYPT_SECONDS: Final = 0.003  # one ciphertext
_DECRYPT_SECONDS: Final = 0.013
_ADD_SECONDS: Final = 0.000_04  # one ciphertext of one batch, its checks included
_STEP_SECONDS: Final = 0.000_2  # a local step's fixed part
_FLOPS: Final = 1e9  # of float64 matrix products, one thread


@dataclass(frozen=True, slots=True)
class Estimate:
    """One job in numbers. Bytes and seconds are per round, money over the whole job.

    `inputs`, `outputs`, `parameters`: of the model, categories one-hot
    `lane_bits`, `lanes`: bits of a packed value, and values in a ciphertext
    `ciphertexts`: of one contribution
    `contribution_bytes`: one contribution on the wire
    `inline`: it travels inside its gossip message; otherwise by digest over a stream
    `model_bytes`: the weights that every owner fetches
    `blocks`, `largest_block`: at most so many blocks, of at most so many owners
    `owner_in`, `owner_out`: bytes of one owner
    `requester_in`, `requester_out`: bytes of the requester with the largest cohort, if each owner
    fetches the model from it (owners that hold it serve others too)
    `contribute_seconds`: an owner's computing; `apply_seconds`: the requester's, on one core
    `shortest_seconds`, `longest_seconds`: the whole job if only computing and finality took time,
    and if every deadline were used up
    `owner_earns`: pay of an owner that contributes to every round, merit aside
    `escrow`: what the requester locks up
    `ciphertext_expansion`: contribution_bytes by the bytes of the same values as float64
    """

    inputs: int
    outputs: int
    parameters: int
    lane_bits: int
    lanes: int
    ciphertexts: int
    contribution_bytes: int
    inline: bool
    model_bytes: int
    blocks: int
    largest_block: int
    owner_in: int
    owner_out: int
    requester_in: int
    requester_out: int
    contribute_seconds: float
    apply_seconds: float
    shortest_seconds: float
    longest_seconds: int
    owner_earns: int
    escrow: int
    ciphertext_expansion: float


def estimate(terms: Terms, block_seconds: float = 12.0) -> Estimate:
    """The estimate of a job with its largest cohort; `block_seconds` is the chain's pace."""
    packing, parameters, owners = terms.packing, terms.parameter_count, terms.cohort.max_owners
    count, size = packing.ciphertexts(parameters), packing.batch_bytes(parameters)
    weights = model_bytes(parameters)
    contribute, apply_ = contribute_seconds(terms), apply_seconds(terms)
    final = (1 + terms.timing.finality_blocks) * block_seconds
    return Estimate(
        inputs=terms.inputs,
        outputs=terms.outputs,
        parameters=parameters,
        lane_bits=packing.lane_bits,
        lanes=packing.lanes,
        ciphertexts=count,
        contribution_bytes=size,
        inline=size <= params.MAX_INLINE_BATCH_BYTES,
        model_bytes=weights,
        blocks=terms.block_count,
        largest_block=terms.cohort.largest_block,
        owner_in=weights,
        owner_out=size,
        requester_in=owners * size,
        requester_out=owners * weights,
        contribute_seconds=contribute,
        apply_seconds=apply_,
        shortest_seconds=terms.training.rounds * (contribute + apply_ + final) + final,
        longest_seconds=terms.least_lifetime,
        owner_earns=terms.training.rounds * terms.payment.rate,
        escrow=terms.escrow,
        ciphertext_expansion=size / (8 * parameters),
    )


def contribute_seconds(terms: Terms) -> float:
    """An owner's part of a round on one core: local steps, then encryption."""
    training, parameters = terms.training, terms.parameter_count
    # forward, backward and per-record norms: about six operations a weight and row
    flops = 6 * parameters * training.batch_rows * training.local_steps
    train = training.local_steps * _STEP_SECONDS + flops / _FLOPS
    ciphertexts = terms.packing.ciphertexts(parameters)
    return train + _scale(terms) * (_TABLE_SECONDS + ciphertexts * _ENCRYPT_SECONDS)


def apply_seconds(terms: Terms) -> float:
    """The requester's part of a round on one core: sums of the largest cohort, then decryption of
    each block's."""
    ciphertexts = terms.packing.ciphertexts(terms.parameter_count)
    sums = terms.cohort.max_owners * ciphertexts * _ADD_SECONDS
    return _scale(terms) * (sums + terms.block_count * ciphertexts * _DECRYPT_SECONDS)


def _scale(terms: Terms) -> float:
    return float((terms.encryption.key_bits / _REFERENCE_BITS) ** _GROWTH)
