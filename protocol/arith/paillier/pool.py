"""Obfuscators made ahead: filled while there is nothing else to do, each used once.

Of either kind: powers of a base (obfuscation.Source) for what is encrypted here, or full-range
blinders (blinding.FullRange) for what is computed on the requester's ciphertexts.

An obfuscator that is known opens the ciphertext that it hides, and one that is used twice tells the
difference of two plaintexts. So a pool is memory alone (it does not pickle), a number that is taken
is gone, and a process that finds itself forked off throws away what it inherited: its parent has
the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NoReturn, Protocol

from gmpy2 import mpz

from protocol.arith.numbers.entropy import Entropy
from protocol.arith.paillier.cryptosystem import encrypt_with
from protocol.arith.paillier.obfuscation import Obfuscator, Source
from protocol.arith.paillier.public_key import PublicKey

#: Bytes that a pool's obfuscators take at most, unless it is told otherwise: 80,000 at 3072 bits.
POOL_BYTES: Final = 64 << 20

#: How many a pool will make, unless it is told otherwise: it is filled again and again.
_EXPECTED: Final = 10_000

#: Memory of two numbers beyond their digits.
_OVERHEAD: Final = 128


class Drawing(Protocol):
    """What makes obfuscators: obfuscation.Source, blinding.FullRange."""

    def draw(self) -> Obfuscator:
        """One more, to be used once."""
        ...


class Pool:
    """Obfuscators for one key. `process` tells which process this is (os.getpid); `source` makes
    what they are drawn from, afresh after a fork: None, a table of powers, which `expected`, about
    how many will be drawn in all, shapes."""

    def __init__(
        self,
        public: PublicKey,
        entropy: Entropy,
        process: Callable[[], int],
        max_bytes: int = POOL_BYTES,
        expected: int = _EXPECTED,
        source: Callable[[PublicKey, Entropy], Drawing] | None = None,
    ) -> None:
        self.public: Final = public
        self.limit: Final = max_bytes // (public.ciphertext_bytes + _OVERHEAD)
        self._entropy, self._process = entropy, process
        #: What the obfuscators come from: who needs one kind alone looks here.
        self.origin: Final = source
        self._home, self._expected = process(), expected
        self._stock: deque[Obfuscator] = deque()
        self._source: Drawing | None = None

    def __reduce__(self) -> NoReturn:
        raise TypeError("a pool is not pickled: its obfuscators would be used twice")

    def __len__(self) -> int:
        """How many are there."""
        self._settle()
        return len(self._stock)

    def fill(self, count: int) -> int:
        """Makes up to `count` more, within the limit; says how many. The first call builds the
        table, where there is one; it stays."""
        self._settle()
        made = max(0, min(count, self.limit - len(self._stock)))
        if made:
            source = self._ready()
            self._stock.extend(source.draw() for _ in range(made))
        return made

    def take(self, count: int) -> Iterator[Obfuscator]:
        """`count` obfuscators, fresh ones where the stock does not reach."""
        for _ in range(count):
            self._settle()
            yield self._stock.popleft() if self._stock else self._ready().draw()

    def encrypt(self, plaintexts: Sequence[int]) -> Iterator[mpz]:
        """Ciphertexts of signed plaintexts, one by one. Raises FatalError as paillier.encrypt."""
        return encrypt_with(self.public, plaintexts, self.take(len(plaintexts)))

    def _ready(self) -> Drawing:
        if self._source is None and self.origin is not None:
            self._source = self.origin(self.public, self._entropy)
        elif self._source is None:
            self._source = Source(self.public, self._entropy, self._expected)
        return self._source

    def _settle(self) -> None:
        """Throws away what another process has as well: stock, and the base of an ordinary key."""
        here = self._process()
        if here != self._home:
            self._home, self._source = here, None
            self._stock.clear()
