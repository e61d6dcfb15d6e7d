"""The published vectors of masks and shares (tests/vectors/masks.json), made without assay."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import modes
from kits.paths import ROOT, VECTORS

from protocol.arith.secagg import masks
from protocol.arith.secagg.agreement import public_of
from protocol.arith.secagg.masks import (
    Binding,
    Residues,
    Words,
    contribution_mask,
    expand_words,
    pair_seed,
    self_seed,
)
from protocol.arith.secagg.sharing import (
    Kind,
    box_context,
    join,
    open_box,
    pads,
    seal,
    seed_hash,
    share_hash,
    split,
)
from protocol.layout.packing import batch_maker

CASE = json.loads((VECTORS / "masks.json").read_text())
SHARING = {
    name: bytes.fromhex(value) if isinstance(value, str) else value
    for name, value in CASE["sharing"].items()
}
BINDING = Binding(
    **{
        name: bytes.fromhex(value) if isinstance(value, str) else value
        for name, value in CASE["binding"].items()
    }
)
MEMBERS = [
    (member["position"], *(bytes.fromhex(member[name]) for name in ("private", "public", "seed")))
    for member in CASE["members"]
]


def test_keys_and_seeds() -> None:
    (_, first, first_public, seed), (_, second, second_public, _) = MEMBERS[:2]
    assert [public_of(private) for _, private, _, _ in MEMBERS] == [key for _, _, key, _ in MEMBERS]
    assert BINDING.digest().hex() == CASE["binding_digest"]
    assert pair_seed(first, second_public, BINDING).hex() == CASE["pair_seed_of_0_and_3"]
    assert pair_seed(second, first_public, BINDING).hex() == CASE["pair_seed_of_0_and_3"]
    assert self_seed(seed, first_public, BINDING).hex() == CASE["self_seed_of_0"]


@pytest.mark.parametrize("found", [[], ["AVX512_ICL"]], ids=["counter mode", "GCM"])
@pytest.mark.parametrize("case", CASE["words"], ids=lambda case: case["bits"])
def test_words_by_either_mode(
    case: dict, found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(masks, "_MODE", masks._mode({"SIMD Extensions": {"found": found}}))
    words = expand_words(bytes.fromhex(CASE["stream_seed"]), 40_001, case["bits"])
    assert words[:5].tolist() == case["first"]
    assert words[40_000] == case["number_40000"]


def test_a_processor_of_which_nothing_is_known_has_counter_mode() -> None:
    """numpy leaves out what is empty: where it found nothing, and where it was built to look for
    nothing."""
    for machine in ({}, {"SIMD Extensions": {"baseline": ["X86_V2"]}}):
        assert isinstance(masks._mode(machine), modes.CTR)
    assert isinstance(masks._mode({"SIMD Extensions": {"found": ["AVX512_ICL"]}}), modes.GCM)


def test_masks_are_there_on_an_old_processor() -> None:
    """Another process, in which numpy is told of no more than its baseline."""
    every = np.show_config("dicts").get("SIMD Extensions", {}).get("found", ())
    environment = os.environ | {"NPY_DISABLE_CPU_FEATURES": " ".join(every)}
    line = "import protocol.arith.secagg.masks as m; print(type(m._MODE).__name__)"
    command = [sys.executable, "-c", line]
    done = subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "CTR\n"), done.stderr


@pytest.mark.parametrize("case", CASE["residues"], ids=lambda case: len(case["n"]))
def test_residues(case: dict) -> None:
    numbers = Residues(int(case["n"], 16)).expand(bytes.fromhex(CASE["stream_seed"]), 3)
    assert [hex(number) for number in numbers] == case["first"]


def test_whole_masks() -> None:
    roster = [(position, public) for position, _, public, _ in MEMBERS]
    n = int.from_bytes(BINDING.n, "big")
    for member, words, residues in zip(
        MEMBERS, CASE["masks_of_24_bit_words"], CASE["masks_modulo_n"], strict=True
    ):
        position, private, _, seed = member
        arguments = (private, seed, position, roster, BINDING)
        mask = contribution_mask(Words(24), 4, *arguments)
        assert [hex(word) for word in mask] == words
        assert [hex(x) for x in contribution_mask(Residues(n), 2, *arguments)] == residues


@pytest.mark.parametrize("kind", ["seed", "key"])
def test_shares_and_their_hashes(kind: Kind) -> None:
    sender, opening, threshold = map(SHARING.get, ("sender", "opening", "threshold"))
    shares = [bytes.fromhex(share) for share in SHARING["shares"][kind]]
    secret = bytes.fromhex(SHARING["secrets"][kind])
    assert split(secret, shares[: threshold - 1], 5) == tuple(shares)
    for chosen in itertools.combinations(range(5), threshold):
        assert join({position: shares[position] for position in chosen}, threshold) == secret
    for position, expected in enumerate(SHARING["share_hashes"][kind]):
        assert share_hash(kind, shares[position], position, sender, opening).hex() == expected


def test_boxes() -> None:
    sender, opening, public = map(SHARING.get, ("sender", "opening", "ephemeral_public"))
    seeds, keys = SHARING["shares"]["seed"], SHARING["shares"]["key"]
    assert (
        seed_hash(bytes.fromhex(SHARING["secrets"]["seed"]), opening, sender)
        == (SHARING["seed_hash"])
    )
    for position in range(5):
        of = {
            name: bytes.fromhex(SHARING[name][position])
            for name in ("recipients", "sealing_privates", "sealing_publics", "boxes")
        }
        context = box_context(SHARING["place"], opening, sender, of["recipients"])
        assert context.hex() == SHARING["box_contexts"][position]
        inside = bytes.fromhex(seeds[position]), bytes.fromhex(keys[position])
        pad = pads(
            SHARING["ephemeral_private"],
            of["sealing_publics"],
            context,
            public,
            of["sealing_publics"],
        )
        made = seal(pad, *inside) if position >= SHARING["threshold"] - 1 else b""
        assert made == of["boxes"]
        assert open_box(of["sealing_privates"], public, context, made) == inside


def test_makers() -> None:
    assert batch_maker(SHARING["place"], SHARING["sender"]) == SHARING["batch_maker"]
