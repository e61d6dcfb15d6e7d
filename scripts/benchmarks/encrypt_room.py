"""What encryption takes beside time: bytes, cores, memory; and how much of its time is GMP's."""

from __future__ import annotations

import os
import secrets
import statistics
import time
from collections.abc import Sequence
from contextlib import closing
from functools import partial

import trio

from node.workers.compute import Compute, open_compute
from protocol.arith.encoding.lanes import Lanes
from protocol.arith.numbers.fixedpoint import FixedPoint
from scripts.benchmarks import drivers
from scripts.benchmarks.encrypt_speed import (
    CLIP,
    KEY_BITS,
    SUMMANDS,
    VALUE_BITS,
    VALUES,
    layout,
    of_assay,
    of_peer,
    short_key,
)
from scripts.benchmarks.figures import Context, Measurement, Reply, shown
from scripts.benchmarks.harness import (
    interleave,
    median_count,
    median_parts,
    median_seconds,
    spread_of,
)
from scripts.benchmarks.sides import assay_share
from scripts.benchmarks.sides.parts import gradient

#: The chain of primes of TenSEAL's tutorials at this degree, and the shortest that holds the sum.
_DEGREE, _CHAIN, _SCALE_BITS = 8192, (60, 40, 40, 60), 40
_SHORT_CHAIN, _SHORT_SCALE_BITS = (40, 40), 30

#: How far a sum that CKKS opens may be from the true one: a few steps of 16-bit values.
_WITHIN = 2.0**-13

#: Encryptions in a run: enough for a table to be in the caches where it stays in long batches, few
#: enough for the machine to be as fast for what it is compared with.
_COUNT = 200

#: A batch shared out: parts small enough that no core waits long for the last.
_PARTS = 16

#: Turns that do not count: a worker that starts late may have had no part of the first.
_WARM = 2

_PARAMETERS = 1_000_000


def per_parameter(value_bits: int, context: Context) -> Measurement:
    """Bytes of a contribution, header and all, over its values; beside a value of phe's."""
    ours, peer, key = context.side("engine"), context.side("phe"), short_key()
    sent = ours.call("open", **of_assay(key), **layout(value_bits))
    theirs = peer.call("encrypt", **of_peer(key), values=VALUES, clip=CLIP, sample=1)
    lanes = Lanes(value_bits, SUMMANDS, KEY_BITS)
    return Measurement(
        ours=sent.counts["bytes"] / VALUES,
        peer=theirs.counts["bytes a value"],
        notes=[
            f"a batch of {VALUES:,} values as it is sent, header and all: "
            f"{sent.counts['bytes']:,} bytes, {lanes.ciphertexts(VALUES)} ciphertexts of "
            f"{lanes.lanes_per_ciphertext} lanes; it was decrypted and compared",
            "phe: the bare ciphertext of a value, as bytes",
        ],
    )


def ckks(context: Context) -> Measurement:
    """Bytes of a contribution of assay's and of TenSEAL's."""
    ours, peer, key = context.side("engine"), context.side("tenseal"), short_key()
    given = {"values": VALUES, "clip": CLIP, "degree": _DEGREE, "within": _WITHIN}
    long = {**given, "chain": _CHAIN, "scale_bits": _SCALE_BITS}
    lean = {**given, "chain": _SHORT_CHAIN, "scale_bits": _SHORT_SCALE_BITS}
    replies = interleave(
        {
            "encrypt": partial(ours.call, "cold", **of_assay(key), **layout(), clip=CLIP),
            "add": partial(ours.call, "aggregate", **of_assay(key), **layout()),
            "decrypt": partial(ours.call, "open", **of_assay(key), **layout()),
            "peer": partial(peer.call, "ckks", **long),
            "lean": partial(peer.call, "ckks", **lean),
        },
        min(context.runs, 3),
    )
    parts = median_parts(replies["peer"])
    sent = median_count(replies["encrypt"], "bytes")
    leanest = median_count(replies["lean"], "bytes")
    times = ", ".join(
        f"{name} {shown(1000 * median_seconds(replies[name]))} ms here, "
        f"{shown(1000 * seconds)} ms there"
        for name, seconds in parts.items()
    )
    return Measurement(
        ours=sent,
        peer=median_count(replies["peer"], "bytes"),
        notes=[
            f"{median_count(replies['peer'], 'ciphertexts')} ciphertexts with a chain of primes of "
            f"{_CHAIN} bits, as in TenSEAL's tutorials, compressed as it serialises them",
            f"the shortest chain that holds these sums, {_SHORT_CHAIN}: {leanest:,} bytes, ratio "
            f"{shown(leanest / sent)}",
            f"times: {times} (assay's with its table built and its pool empty, checks of the "
            "contribution included in 'add'; short-order key)",
            "every sum was decrypted and compared: exact here, at TenSEAL within "
            f"{_WITHIN:.2g} of values up to {CLIP:g} (found: "
            f"{median_count(replies['peer'], 'error'):.2g}; with the shortest chain "
            f"{median_count(replies['lean'], 'error'):.2g})",
        ],
    )


def overhead(context: Context) -> Measurement:
    """The engine's time over that of its products alone."""
    side, key = context.side("engine"), of_assay(short_key())
    comb = side.call("engine", **key, count=1).counts
    bare = partial(side.call, "multiplications", **key, count=_COUNT)
    replies = interleave(
        {
            "engine": partial(side.call, "engine", **key, count=_COUNT),
            "bare": partial(bare, **comb),
            "cached": partial(bare, **{**comb, "entries": 1}),
        },
        # A run takes a twentieth of a second.
        4 * context.runs + 1,
    )
    engine, products, cached = (
        median_seconds(replies[name]) * 1e6 / _COUNT for name in ("engine", "bare", "cached")
    )
    return Measurement(
        ours=quotient(replies["engine"], replies["bare"]),
        notes=[
            f"the median of {len(replies['engine'])} turns' quotients, each of runs that follow "
            "each other: what disturbs one, disturbs both",
            f"one encryption {engine:.0f} microseconds, its products alone {products:.0f}: "
            f"{comb['blocks'] * comb['depth']} of a number modulo n^2 with a table's entry, which "
            f"is as long as n, {comb['depth'] - 1} squarings modulo n^2, 2 products modulo n, each "
            "reduced, by gmpy2 in a loop",
            f"they come at random from a table of {comb['blocks']} x {comb['entries']} numbers, as "
            f"in the engine; were they few, and in the cache, {cached:.0f} microseconds, and the "
            f"engine's time {shown(quotient(replies['engine'], replies['cached']))} times as long",
            "the rest: entropy, cutting exponents, carrying quotients, Python's calls",
        ],
    )


def quotient(these: Sequence[Reply], those: Sequence[Reply]) -> float:
    """The median over turns of the one's seconds over the other's."""
    pairs = zip(these, those, strict=True)
    return statistics.median(this.seconds / that.seconds for this, that in pairs)


def cores(context: Context) -> Measurement:
    """How many times faster two of the daemon's workers are than one."""
    if (os.cpu_count() or 1) < 2:
        raise ValueError("this machine has one core")
    return trio.run(_cores, context.runs)


async def _cores(runs: int) -> Measurement:
    plaintexts = _packed()
    one: list[Reply] = []
    two: list[Reply] = []
    async with open_compute(1) as alone, open_compute(2) as both:
        # The first turn starts the workers, and by the end of the second each has built its table.
        for turn in range(_WARM + runs):
            for workers, found in ((alone, one), (both, two)):
                reply = Reply(await _shared_out(workers, plaintexts))
                if turn >= _WARM:
                    found.append(reply)
    slow, fast = median_seconds(one), median_seconds(two)
    return Measurement(
        ours=slow / fast,
        notes=[
            f"a gradient of {VALUES:,} values, packed, in {_PARTS} parts by the daemon's workers: "
            f"{shown(slow)} s by one, {shown(fast)} s by two, tables built, pickling and pipes "
            "included; every run's ciphertexts were decrypted and compared",
            f"one {spread_of(one)}, two {spread_of(two)} (least to most of {runs} runs each)",
        ],
    )


async def _shared_out(workers: Compute, plaintexts: Sequence[int]) -> float:
    """Seconds until all parts are encrypted. Raises ValueError if one is of another number."""
    key, found = short_key(), dict[int, list[bytes]]()
    given = (key.public.to_bytes(), key.public.base_bytes())
    size = -(-len(plaintexts) // _PARTS)

    async def encrypt(start: int) -> None:
        part = list(plaintexts[start : start + size])
        found[start] = await workers.run(assay_share.encrypted, *given, part)

    began = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for start in range(0, len(plaintexts), size):
            nursery.start_soon(encrypt, start)
    seconds = time.perf_counter() - began
    ciphertexts = [int.from_bytes(one, "big") for start in sorted(found) for one in found[start]]
    if key.decrypt(ciphertexts) != list(plaintexts):
        raise ValueError("a worker's ciphertext does not decrypt to its plaintext")
    return seconds


def _packed() -> list[int]:
    """The gradient's plaintexts."""
    lanes, fixed_point = Lanes(VALUE_BITS, SUMMANDS, KEY_BITS), FixedPoint(VALUE_BITS, CLIP)
    return lanes.pack(fixed_point.quantise(gradient(0, VALUES, CLIP), secrets.token_bytes))


def memory(context: Context) -> Measurement:
    """Megabytes: the most that a fresh process ever had."""
    context.say(f"encrypting and decrypting {_PARAMETERS:,} parameters")
    with closing(drivers.start("engine")) as fresh:
        found = fresh.call(
            "memory",
            **of_assay(short_key()),
            values=_PARAMETERS,
            value_bits=VALUE_BITS,
            summands=SUMMANDS,
            clip=CLIP,
        )
    before = found.counts["bytes before"] / 1e6
    return Measurement(
        ours=found.counts["bytes"] / 1e6,
        notes=[
            f"a process of its own, from floats to the bytes that are sent, in "
            f"{shown(found.seconds)} s: {shown(before)} MB of it were there before (Python, numpy, "
            "gmpy2); its batch was decrypted and compared",
        ],
    )
