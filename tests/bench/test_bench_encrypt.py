"""What is timed for encryption is what the figures say, and a wrong result is not a figure."""

from __future__ import annotations

import secrets
import subprocess
import sys
from typing import Any

import pytest
import trio
from kits.paths import ROOT

from node.workers.compute import open_compute
from protocol.arith.paillier import cryptosystem as paillier
from protocol.arith.paillier.cryptosystem import PrivateKey
from scripts.benchmarks import encrypt_room, encrypt_speed
from scripts.benchmarks.encrypt import SUITE
from scripts.benchmarks.figures import Reply
from scripts.benchmarks.sides import assay_encrypt, assay_share, phe_encrypt

LAYOUT: dict[str, Any] = {"values": 300, "value_bits": 16, "summands": 32}


@pytest.fixture(scope="module")
def key() -> PrivateKey:
    return paillier.generate_short_key(512, secrets.token_bytes)


@pytest.fixture(scope="module")
def ours(key: PrivateKey) -> dict[str, Any]:
    return encrypt_speed.of_assay(key)


@pytest.fixture(scope="module")
def theirs(key: PrivateKey) -> dict[str, Any]:
    return encrypt_speed.of_peer(key)


@pytest.fixture(scope="module")
def given(key: PrivateKey) -> dict[str, Any]:
    plaintexts = [1, -2, 3 << 200, 0]
    ciphertexts = paillier.encrypt(key.public, plaintexts, secrets.token_bytes)
    return {"ciphertexts": ciphertexts, "plaintexts": plaintexts}


def called(name: str, **arguments: Any) -> Any:
    return assay_encrypt.CALLS[name](**arguments)


@pytest.mark.parametrize("start", ["cold", "warm", "memory"])
def test_a_gradient_is_timed_from_floats_to_bytes(start: str, ours: dict[str, Any]) -> None:
    reply = called(start, **ours, **LAYOUT, clip=1.0)
    assert list(reply["parts"]) == ["quantise", "pack", "encrypt", "encode"]
    assert reply["seconds"] == pytest.approx(sum(reply["parts"].values()))
    assert min(reply["parts"].values()) > 0


def test_the_table_is_no_part_of_a_cold_start_but_told(ours: dict[str, Any]) -> None:
    reply = called("cold", **ours, **LAYOUT, clip=1.0)
    assert reply["counts"]["table seconds"] > 0
    # 24 lanes of 21 bits in 510: 13 ciphertexts of 128 bytes, and a header.
    assert reply["counts"]["ciphertexts"] == 13
    assert 13 * 128 < reply["counts"]["bytes"] < 13 * 128 + 64


def test_a_warm_start_takes_from_the_pool_and_draws_nothing(
    ours: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = assay_encrypt.kept_pool(ours["key"])
    pool.fill(20)
    before = len(pool)

    def dry() -> None:
        raise AssertionError("an obfuscator was drawn")

    monkeypatch.setattr(pool, "_ready", dry)
    called("warm", **ours, **LAYOUT, clip=1.0)
    assert len(pool) == before - 13


def test_an_emptied_pool_is_empty(key: PrivateKey) -> None:
    pool, seconds = assay_encrypt.emptied(key.public)
    assert len(pool) == 0
    assert seconds > 0


@pytest.mark.parametrize("start", ["cold", "warm", "memory"])
def test_a_batch_that_opens_to_something_else_is_refused(
    start: str, ours: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = PrivateKey.decrypt
    monkeypatch.setattr(
        PrivateKey, "decrypt", lambda self, numbers: [n ^ 1 for n in real(self, numbers)]
    )
    with pytest.raises(ValueError, match="not decrypt to what went in"):
        called(start, **ours, **LAYOUT, clip=1.0)


def test_single_operations_give_what_they_should(
    ours: dict[str, Any], theirs: dict[str, Any], given: dict[str, Any]
) -> None:
    assert called("obfuscate", **ours, plaintexts=given["plaintexts"])["seconds"] > 0
    for name in ("decrypt", "add"):
        assert called(name, **ours, **given)["seconds"] > 0
        reply: Any = phe_encrypt.CALLS[name](**theirs, **given)
        assert reply["seconds"] > 0


@pytest.mark.parametrize("name", ["decrypt", "add"])
def test_another_plaintext_is_refused_on_both_sides(
    name: str, ours: dict[str, Any], theirs: dict[str, Any], given: dict[str, Any]
) -> None:
    wrong = {**given, "plaintexts": [2, *given["plaintexts"][1:]]}
    with pytest.raises(ValueError, match="does not decrypt"):
        called(name, **ours, **wrong)
    with pytest.raises(ValueError, match="does not decrypt"):
        phe_encrypt.CALLS[name](**theirs, **wrong)


def test_an_exponent_is_told_as_long_as_it_is(
    ours: dict[str, Any], key: PrivateKey, given: dict[str, Any]
) -> None:
    counts = called("obfuscate", **ours, plaintexts=given["plaintexts"])["counts"]
    assert 0 <= counts["exponent bits"] - key.public.exponent_bits < 12
    assert counts["table bytes"] > 0


def test_a_contribution_is_added_and_opened(ours: dict[str, Any]) -> None:
    reply = called("aggregate", **ours, **LAYOUT)
    assert reply["counts"]["ciphertexts"] == 13
    assert 0 < reply["counts"]["in memory"] < reply["counts"]["alone"]
    assert called("open", **ours, **LAYOUT)["counts"]["bytes"] > 13 * 128


def test_a_sum_of_something_else_is_refused(
    ours: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The sum lacks a contribution.
    real = assay_encrypt.sum_encoded
    monkeypatch.setattr(
        assay_encrypt, "sum_encoded", lambda public, given, count: real(public, given[1:], count)
    )
    with pytest.raises(ValueError, match="the sum of what went in"):
        called("aggregate", **ours, **LAYOUT)


def test_the_engine_says_what_it_multiplies(ours: dict[str, Any], key: PrivateKey) -> None:
    comb = called("engine", **ours, count=3)["counts"]
    exponent_bits = comb["blocks"] * comb["depth"] * (comb["entries"].bit_length() - 1)
    assert 0 <= exponent_bits - key.public.exponent_bits < 12
    few = called("multiplications", **ours, count=1, **comb)
    many = called("multiplications", **ours, count=200, **comb)
    assert 0 < few["seconds"] < many["seconds"]


@pytest.mark.usefixtures("small_keys")
def test_overhead_is_the_engine_over_its_products() -> None:
    class Alone(Recorded):
        def side(self, name: str) -> Any:
            return InProcess()

    class InProcess:
        def call(self, function: str, **arguments: Any) -> Reply:
            seconds = {"engine": 2.4e-3, "multiplications": 2e-3}[function]
            # Without a table to read from they are faster.
            if arguments.get("entries") == 1:
                seconds = 1.6e-3
            return Reply(seconds, {}, {"blocks": 13, "depth": 4, "entries": 1024})

    found = FIGURES["overhead"].measure(Alone())
    assert found.ours == pytest.approx(1.2)
    assert "52 of a number modulo n^2" in found.notes[1]
    assert "time 1.5 times as long" in found.notes[2]


def test_a_quotient_is_of_turns() -> None:
    these = [Reply(seconds) for seconds in (2.0, 30.0, 4.0)]
    those = [Reply(seconds) for seconds in (1.0, 10.0, 4.0)]
    # Of the medians it would be 1.
    assert encrypt_room.quotient(these, those) == 2.0


def test_the_peak_counts_what_was_there_and_is_gone() -> None:
    """In a process of its own: this one has had more resident than it has now."""
    code = (
        "from scripts.benchmarks.sides.peak import resident\n"
        "before = resident()\n"
        "held = bytearray(b'1') * 64_000_000\n"
        "del held\n"
        "print(before, resident())\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=ROOT)
    before, after = map(int, told.stdout.split())
    assert after >= before + 32_000_000
    assert 1 << 20 < before < 1 << 36


def test_phe_is_extrapolated_from_its_sample(theirs: dict[str, Any]) -> None:
    reply: Any = phe_encrypt.encrypt(**theirs, values=1000, clip=1.0, sample=2)
    few: Any = phe_encrypt.encrypt(**theirs, values=10, clip=1.0, sample=2)
    assert reply["seconds"] > 10 * few["seconds"]
    assert 120 < reply["counts"]["bytes a value"] <= 128


def test_phe_is_held_to_its_values(theirs: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phe_encrypt.PaillierPrivateKey, "decrypt", lambda self, number: 7.0)
    with pytest.raises(ValueError, match="not decrypt to what it was"):
        phe_encrypt.encrypt(**theirs, values=10, clip=1.0, sample=2)


async def test_a_batch_is_shared_out_and_comes_back_whole(
    key: PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encrypt_room, "short_key", lambda: key)
    async with open_compute(1) as workers:
        assert await encrypt_room._shared_out(workers, list(range(-20, 20))) > 0


async def test_a_share_of_something_else_is_refused(
    key: PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong:
        async def run(self, function: Any, n: bytes, base: bytes, part: list[int]) -> list[bytes]:
            await trio.lowlevel.checkpoint()
            made: list[bytes] = assay_share.encrypted(n, base, [number + 1 for number in part])
            return made

    monkeypatch.setattr(encrypt_room, "short_key", lambda: key)
    workers: Any = Wrong()
    with pytest.raises(ValueError, match="not decrypt to its plaintext"):
        await encrypt_room._shared_out(workers, [1, 2, 3])


#: Whatever a side of these figures counts.
COUNTS = dict.fromkeys(
    (
        "a call a value",
        "alone",
        "by array",
        "bytes",
        "bytes a value",
        "bytes before",
        "ciphertexts",
        "error",
        "fill seconds",
        "in memory",
        "table bytes",
        "table seconds",
    ),
    1.0,
)


class Recorded:
    """A context whose sides answer at once, and remember what they were asked. Ours takes a second,
    the peer two; `bits` are the exponents of either."""

    runs = 1

    def __init__(self, bits: tuple[int, int] = (1540, 1536)) -> None:
        self.bits = bits
        self.calls: list[tuple[str, str, dict[str, Any]]] = []

    def side(self, name: str) -> Any:
        calls, own = self.calls, name == "engine"
        counts = {**COUNTS, "exponent bits": self.bits[0 if own else 1]}

        class One:
            def call(self, function: str, **arguments: Any) -> Reply:
                calls.append((name, function, arguments))
                parts = {} if own else {"encrypt": 1.0, "add": 0.5, "decrypt": 0.5}
                return Reply(1.0 if own else 2.0, parts, counts)

        return One()

    def say(self, text: str) -> None:
        """Nobody waits."""


FIGURES = {figure.name: figure for figure in SUITE.figures}


@pytest.fixture
def small_keys(key: PrivateKey, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (encrypt_room, encrypt_speed):
        monkeypatch.setattr(module, "short_key", lambda: key)
    monkeypatch.setattr(encrypt_speed, "ordinary_key", lambda: key)
    monkeypatch.setattr(encrypt_speed, "_PLAINTEXT_BYTES", 32)


@pytest.mark.usefixtures("small_keys")
@pytest.mark.parametrize(
    "name",
    [
        "encrypt-cold",
        "encrypt-warm",
        "obfuscate-heu",
        "obfuscate-pypaillier",
        "decrypt",
        "add",
        "aggregate",
    ],
)
def test_ours_and_the_peer_take_turns_at_the_same(name: str) -> None:
    context, figure = Recorded(), FIGURES[name]
    found = figure.measure(context)
    assert found.ratio == pytest.approx(2.0)
    assert figure.peer is not None
    (ours, _, asked_here), (peer, _, asked_there) = context.calls[:2]
    assert (ours, peer) == ("engine", figure.peer[0])
    shared = {"values", "plaintexts", "ciphertexts"} & asked_here.keys()
    assert shared
    for name_of in shared:
        assert asked_here[name_of] == asked_there[name_of]
    # The same key wherever the peer takes one from outside.
    if "p" in asked_there:
        private = assay_encrypt.private_key(asked_here["key"])
        assert private.public.n == asked_there["p"] * asked_there["q"]


@pytest.mark.usefixtures("small_keys")
@pytest.mark.parametrize("bits", [(520, 1536), (1540, 1024), (1530, 1536)])
def test_exponents_of_another_length_are_no_comparison(bits: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="not of one length"):
        FIGURES["obfuscate-heu"].measure(Recorded(bits))


@pytest.mark.usefixtures("small_keys")
def test_a_cold_start_tells_the_ratio_with_its_table() -> None:
    notes = FIGURES["encrypt-cold"].measure(Recorded()).notes
    assert "with it 2 s, ratio 1" in notes[-1]


@pytest.mark.usefixtures("small_keys")
@pytest.mark.parametrize("name", ["bytes-16", "bytes-8"])
def test_bytes_are_those_of_a_whole_batch_over_its_values(name: str) -> None:
    context = Recorded()
    assert FIGURES[name].measure(context).ours == 1 / 100_000
    assert context.calls[0][2]["value_bits"] == int(name.removeprefix("bytes-"))


@pytest.mark.usefixtures("small_keys")
def test_ckks_is_told_with_its_shortest_chain_too() -> None:
    context = Recorded()
    found = FIGURES["ckks-bytes"].measure(context)
    assert found.ratio == 1
    chains = {call[2]["chain"] for call in context.calls if call[0] == "tenseal"}
    assert chains == {(60, 40, 40, 60), (40, 40)}
    assert any("encrypt 1,000 ms here, 1,000 ms there" in note for note in found.notes)


@pytest.mark.usefixtures("small_keys")
def test_memory_is_that_of_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encrypt_room, "_PARAMETERS", 5000)
    context = Recorded()
    found = FIGURES["memory"].measure(context)
    assert context.calls == []
    assert 10 < found.ours < 200


def test_bars_are_those_of_the_issue() -> None:
    assert {figure.name: str(figure.bar) for figure in SUITE.figures} == {
        "encrypt-cold": "ratio at least 6000",
        "encrypt-warm": "ratio at least 100000",
        "obfuscate-heu": "ratio at least 1.3",
        "obfuscate-pypaillier": "ratio at least 1",
        "decrypt": "ratio at least 3",
        "add": "ratio at least 1.4",
        "aggregate": "ratio at least 100",
        "bytes-16": "ours at most 5.5",
        "bytes-8": "ours at most 3.5",
        "ckks-bytes": "ratio at least 8",
        "overhead": "ours at most 1.15",
        "cores": "ours at least 1.8",
        "memory": "ours at most 300",
    }
