"""A file read without its noise: what it says of epsilon and delta no longer counts."""

from __future__ import annotations

import pytest
from kits.paths import ROOT

from protocol.spec.read import SpecError
from protocol.spec.toml import parse_toml

EXAMPLES = ROOT / "docs" / "examples"
SEALED = (EXAMPLES / "digits-sealed.toml").read_text()
NOISY = (EXAMPLES / "digits-noise.toml").read_text()
PLAIN = (EXAMPLES / "digits.toml").read_text()


def test_a_sealed_job_loses_its_noise_and_nothing_else() -> None:
    noisy, plain = parse_toml(SEALED).terms, parse_toml(SEALED, no_noise=True).terms
    assert (noisy.privacy.noisy, plain.privacy.noisy, plain.privacy.delta) == (True, False, 0.0)
    assert plain.privacy.sealed
    assert (plain.model, plain.training, plain.cohort) == (
        noisy.model,
        noisy.training,
        noisy.cohort,
    )


def test_a_file_without_noise_stays_as_it_is() -> None:
    assert parse_toml(PLAIN, no_noise=True) == parse_toml(PLAIN)


def test_noise_that_the_file_leaves_to_the_default_goes_too() -> None:
    said = ("epsilon =", "delta =")
    bare = "\n".join(line for line in SEALED.splitlines() if not line.startswith(said))
    assert parse_toml(bare).terms.privacy.epsilon == 8.0
    assert parse_toml(bare, no_noise=True).terms.privacy.epsilon is None


def test_what_only_noise_allows_is_named() -> None:
    text = NOISY.replace("block_size = 6", "block_size = 6\nshuffle = true")
    assert parse_toml(text).terms.cohort.shuffle
    with pytest.raises(SpecError) as caught:
        parse_toml(text, no_noise=True)
    assert [problem.field for problem in caught.value.problems] == [
        "privacy.dropouts",
        "cohort.shuffle",
    ]
    assert "is 1, which only noise allows" in caught.value.problems[0].message
    assert "is true, which only noise allows" in caught.value.problems[1].message


@pytest.mark.parametrize("broken", ["privacy = 3\n", "cohort = []\n"])
def test_sections_that_are_none_are_still_told(broken: str) -> None:
    with pytest.raises(SpecError, match="a table is expected"):
        parse_toml(broken, no_noise=True)
