"""The attack by residues works where it should and fails where it should; so does its table."""

from __future__ import annotations

import json
import random

import gmpy2
import pytest
from gmpy2 import mpz

from protocol.arith.numbers.entropy import Entropy
from protocol.arith.paillier import key_proof
from protocol.arith.paillier.batch import decode_batch, encode_batch
from protocol.arith.paillier.blinding import FullRange
from protocol.arith.paillier.obfuscation import Source
from scripts.attacks import residue
from scripts.attacks.__main__ import main
from scripts.attacks.crafted import SharedKey, SmoothKey, shared_key, smooth_key
from scripts.attacks.table import Row, Table


def seeded(seed: int) -> Entropy:
    return random.Random(seed).randbytes


@pytest.fixture(scope="module")
def smooth() -> SmoothKey:
    return smooth_key(1024, seeded(1))


@pytest.fixture(scope="module")
def shared() -> SharedKey:
    return shared_key(1024, [65537, 65539, 65543], seeded(2))


def matrix(seed: int, largest: int) -> list[list[int]]:
    rng = random.Random(seed)
    return [
        [rng.randint(-largest, largest) for _ in range(residue.COLUMNS)]
        for _ in range(residue.ROWS)
    ]


def planted(key: SmoothKey, digits: int) -> list[mpz]:
    n = key.private.public.n
    powers = [gmpy2.powmod(key.element, 3 ** (digits * j), n) for j in range(residue.COLUMNS)]
    return residue.planted(key.private.public, powers)


def test_the_crafted_key_is_valid(smooth: SmoothKey) -> None:
    p, q = smooth.private.factors()
    assert gmpy2.gcd(p * q, (p - 1) * (q - 1)) == 1
    key_proof.verify(smooth.private.public, key_proof.prove(smooth.private))
    assert gmpy2.powmod(smooth.element, mpz(3) ** smooth.digits, p * q) == 1
    assert gmpy2.powmod(smooth.element, mpz(3) ** (smooth.digits - 1), p * q) != 1


def test_what_is_planted_passes_an_owner_s_checks(smooth: SmoothKey) -> None:
    public = smooth.private.public
    weights = planted(smooth, 11)
    data = encode_batch(public, weights, bytes(32))
    assert decode_batch(data, public, len(weights), bytes(32)) == weights


def test_refreshed_with_the_requester_s_base_everything_is_read(smooth: SmoothKey) -> None:
    public, entropy, secret = smooth.private.public, seeded(3), matrix(3, 32767)
    source = Source(public, entropy, residue.ROWS)
    replies = residue.answered(public, planted(smooth, 11), secret, source, entropy)
    assert [residue.read_smooth(smooth, reply, 11) for reply in replies] == secret


def test_blinded_over_the_full_range_the_logarithm_is_uniform(smooth: SmoothKey) -> None:
    """Whatever the matrix: here it is all zeros, which any leak would show as zeros."""
    public, entropy = smooth.private.public, seeded(4)
    zeros = [[0] * residue.COLUMNS for _ in range(60)]
    source = FullRange(public, entropy)
    replies = residue.answered(public, planted(smooth, 1), zeros, source, entropy)
    counts = {-1: 0, 0: 0, 1: 0}
    for reply in replies:
        for digit in residue.read_smooth(smooth, reply, 1):
            counts[digit] += 1
    total = sum(counts.values())
    chi_squared = sum((count - total / 3) ** 2 / (total / 3) for count in counts.values())
    assert chi_squared < 20.7  # 2 degrees of freedom: exceeded once in 30,000


def test_a_blinded_reply_still_means_the_same(smooth: SmoothKey) -> None:
    """Product plus mask, modulo n: only the residue was changed."""
    public, secret = smooth.private.public, matrix(5, 100)
    weights = planted(smooth, 11)
    plain = smooth.private.decrypt([int(weight) for weight in weights])
    masks = random.Random(6)  # answered() draws a row's mask first, then its blinder
    size = public.bits // 8
    for source in (Source(public, seeded(7), 10), FullRange(public, seeded(7))):
        masks.seed(6)
        replies = residue.answered(public, weights, secret, source, seeded(6))
        for row, reply in zip(secret, replies, strict=True):
            while (mask := int.from_bytes(masks.randbytes(size), "big")) >= public.n:
                pass
            meant = sum(m * w for m, w in zip(row, plain, strict=True)) + mask
            assert (smooth.private.decrypt([int(reply)])[0] - meant) % public.n == 0


def test_without_the_proof_even_the_full_range_leaks(shared: SharedKey) -> None:
    public, entropy = shared.public, seeded(8)
    secret = [row[:3] for row in matrix(8, 32767)]
    weights = residue.planted(public, shared.elements)
    replies = residue.answered(public, weights, secret, FullRange(public, entropy), entropy)
    assert [residue.read_shared(shared, reply) for reply in replies] == secret


def test_the_table() -> None:
    table = residue.run(seeded(9), trials=2)
    assert table.holds
    without = [row.without_defence for row in table.rows]
    assert without == ["256 of 256 read"] * 3 + ["taken"]
    with_it = [row.with_defence for row in table.rows]
    assert with_it[0].startswith("0 of 256 right")
    assert all("refused: key.proof" in cell for cell in with_it[2:])


GOOD = Row("a", "all read", "nothing", holds=True)
BAD = Row("b", "all read", "all read", holds=False)


@pytest.mark.parametrize(
    ("rows", "code"), [([GOOD], 0), ([GOOD, BAD], 1), ([BAD], 1), ([], 1)], ids=str
)
def test_the_exit_code_tells_whether_it_holds(
    rows: list[Row], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    attacks = {"x": lambda: Table("x", "An attack", rows, ["a note"])}
    assert main(["--json"], attacks) == code
    said = json.loads(capsys.readouterr().out)
    assert (said["attack"], said["holds"], len(said["rows"])) == ("x", code == 0, len(rows))
    assert main(["x"], attacks) == code
    text = capsys.readouterr().out
    assert "without the defence" in text
    assert ("FELL" in text) == (BAD in rows)
    assert "a note" in text


def test_names_that_are_unknown_or_given_twice(capsys: pytest.CaptureFixture[str]) -> None:
    runs = []

    def attack() -> Table:
        runs.append(1)
        return Table("x", "An attack", [GOOD])

    assert main(["x", "x"], {"x": attack}) == 0
    assert len(runs) == 1
    with pytest.raises(SystemExit) as caught:
        main(["y"], {"x": attack})
    assert caught.value.code == 2
    assert "no attack is called 'y'" in capsys.readouterr().err
