"""The circuit of a label: subtract the blinding, find the largest score, say which it is.

Kolesnikov, Sadeghi and Schneider ('Improved garbled circuit building blocks and applications to
auctions and computing minima', CANS 2009): one AND a bit to subtract, to compare and to choose.
Written once, for whatever evaluates it: bits, a garbler's labels, an evaluator's. All three meet
the same gates in the same order.

The blinding is the garbler's secret. A wire plus such a bit costs nothing: the garbler exchanges
the wire's two labels, and the evaluator does nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from protocol.layout.queries import QueryLayout


class Machine(Protocol):
    """What evaluates wires, a number each."""

    def xor(self, a: int, b: int) -> int:
        """a + b modulo 2."""
        ...

    def both(self, a: int, b: int) -> int:
        """a and b."""
        ...

    def flip(self, a: int, bit: int) -> int:
        """a + bit modulo 2, where the garbler knows `bit` and the evaluator needs not."""
        ...


class Plain:
    """Bits in the clear, for tests and vectors; counts its AND gates."""

    def __init__(self) -> None:
        self.gates = 0

    def xor(self, a: int, b: int) -> int:
        return a ^ b

    def both(self, a: int, b: int) -> int:
        self.gates += 1
        return a & b

    def flip(self, a: int, bit: int) -> int:
        return a ^ bit


def largest(
    machine: Machine, layout: QueryLayout, zero: int, wires: Sequence[int], blinding: Sequence[int]
) -> list[int]:
    """The wires of the label's number, low bit first: the first class whose score is largest.

    `wires` are the low `score_bits` of each lane, class by class, low bits first; `blinding` as
    many bits of what was added to them (an evaluator gives zeros); `zero` a wire that is 0.
    """
    bits = layout.score_bits
    entries = []
    for label in range(layout.classes):
        lane = slice(label * bits, (label + 1) * bits)
        number = [machine.flip(zero, label >> i & 1) for i in range(layout.label_bits)]
        entries.append((_minus(machine, zero, wires[lane], blinding[lane]), number))
    while len(entries) > 1:
        last = len(entries) == 2
        paired = []
        for (left, name), (right, other) in zip(entries[::2], entries[1::2], strict=False):
            wins = _above(machine, zero, right, left)
            value = [] if last else _choose(machine, wins, left, right)
            paired.append((value, _choose(machine, wins, name, other)))
        entries = paired + (entries[-1:] if len(entries) % 2 else [])
    return entries[0][1]


def _minus(machine: Machine, zero: int, a: Sequence[int], b: Sequence[int]) -> list[int]:
    """a - b modulo 2^bits; borrow' = borrow + (not a + borrow)(b + borrow)."""
    borrow, difference = zero, []
    for place, (wire, bit) in enumerate(zip(a, b, strict=True)):
        difference.append(machine.flip(machine.xor(wire, borrow), bit))
        if place < len(a) - 1:
            first = machine.flip(machine.xor(wire, borrow), 1)
            borrow = machine.xor(borrow, machine.both(first, machine.flip(borrow, bit)))
    return difference


def _above(machine: Machine, zero: int, a: Sequence[int], b: Sequence[int]) -> int:
    """Whether a > b; carry' = a + (a + carry)(b + carry)."""
    carry = zero
    for x, y in zip(a, b, strict=True):
        carry = machine.xor(x, machine.both(machine.xor(x, carry), machine.xor(y, carry)))
    return carry


def _choose(machine: Machine, second: int, a: Sequence[int], b: Sequence[int]) -> list[int]:
    """b where `second` is 1, else a: a + second (a + b)."""
    return [
        machine.xor(x, machine.both(second, machine.xor(x, y))) for x, y in zip(a, b, strict=True)
    ]
