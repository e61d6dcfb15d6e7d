"""Full-range blinders for replies of sealed models: u^n modulo n^2, u uniform among all units.

An owner's reply is a function of ciphertexts that the requester made as it liked. A unit modulo n^2
is (1 + m n) rho, its plaintext m and its residue; the owner's masks, uniform modulo n, drown m, but
never touch the residue. Put elements of known small order there, and the product of c_j^M_ij spells
the owner's M in its residue's logarithm. `scripts/attack residue` does so.

*Why this stops it.* u -> u^n mod n maps the units modulo n onto themselves, one to one, exactly
when gcd(n, phi(n)) = 1. Then u^n mod n^2 is uniform among the n-th residues, so is its product with
any other one, and a reply's residue is uniform and independent of all else, whatever the
ciphertexts were (as long as they are units, which batch.py checks). So a blinded reply tells its
key's holder the plaintext and nothing more; under the masks, nothing at all.

*What would not do.* Powers of the requester's h (obfuscation.py) stay in a subgroup that the
requester chose. Powers of one base of the owner's own stay in one cyclic group, and short exponents
reach a part of it: a requester that chose p - 1 and q - 1 has room beside them. And where
gcd(n, phi(n)) is not 1, even u^n keeps to a subgroup: hence key_proof.py.

There is no table to be had: u is fresh each time, and the exponent n is public. So a blinder costs
a whole power, some 25 ms at 3072 bits, but needs no data: pool.Pool(..., source=FullRange) makes
them ahead.
"""

from __future__ import annotations

import gmpy2
from gmpy2 import mpz

from protocol.arith.numbers.entropy import Entropy
from protocol.arith.paillier.obfuscation import Obfuscator, uniform_unit
from protocol.arith.paillier.public_key import PublicKey


class FullRange:
    """Fresh full-range blinders of one key, whose proof (key_proof.verify) was checked. Holds no
    secret between draws."""

    def __init__(self, public: PublicKey, entropy: Entropy) -> None:
        self._n, self._n_squared, self._entropy = mpz(public.n), public.n_squared, entropy

    def draw(self) -> Obfuscator:
        """One more, to be used once."""
        n = self._n
        u = uniform_unit(n, self._entropy)
        quotient, residue = gmpy2.t_divmod(gmpy2.powmod(u, n, self._n_squared), n)
        return Obfuscator(residue, quotient)


def blind(public: PublicKey, ciphertext: mpz, blinder: Obfuscator) -> mpz:
    """The same plaintext under another residue: `ciphertext`, any unit modulo n^2, times `blinder`,
    which is used nowhere else."""
    whole = blinder.residue + blinder.quotient * public.n
    return ciphertext * whole % public.n_squared
