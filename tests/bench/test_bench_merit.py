"""Merit's figures are taken from the product's own code, and notice when it stops to tell."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from protocol.arith.learning import worth_fit
from protocol.arith.learning.worth_record import decode
from scripts.benchmarks import merit, merit_job, merit_truth
from scripts.benchmarks.merit_job import OWNERS, Part


@pytest.fixture(scope="module")
def idle() -> merit_job.Played:
    """A job whose first three owners add nothing."""
    parts = dict(enumerate(merit._IDLERS))
    return merit_job.play(merit_job.job(merit_job.digits(), 1, parts=parts), 20, 1)


def test_owners_who_add_nothing_keep_next_to_nothing(idle: merit_job.Played) -> None:
    shares = merit_job.shares(idle)
    assert shares.mean() == pytest.approx(1.0)
    assert shares[:3].max() < 0.1
    assert np.median(shares[3:]) > 1.0


def test_the_figure_is_the_weights_and_not_its_own_idea(
    idle: merit_job.Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without own parts a copy keeps about an equal share."""
    mixture = worth_fit.mixture

    def blind(told: worth_fit.Estimate) -> worth_fit.Mixture:
        found = mixture(told)
        return dataclasses.replace(found, adds=np.ones(OWNERS))

    monkeypatch.setattr(worth_fit, "mixture", blind)
    assert merit_job.shares(idle)[2] > 0.5


def test_worths_follow_the_truth_and_wrong_labels_do_not_pay() -> None:
    """A job of small rows: the truth is sampled coarsely here, as the figure is not."""
    shares = merit._WRONG["six owners with wrong labels"]
    job = merit_job.job(merit_job.tumours(), 1, wrong=shares, holdout_wrong=0.2)
    played = merit_job.play(job, 20, 1, noise=0.5)
    truth, agree = merit_truth.of_rounds(job, played, 100)
    assert agree > 0.5
    assert np.corrcoef(merit_job.worths(played), truth)[0, 1] > 0.7
    assert merit_job.worths(played)[:3].max() < 0.1 * merit_job.worths(played)[6:].mean()


def test_noise_has_the_length_that_is_said() -> None:
    """And the mean gradient's, which it is a multiple of, is told."""
    job = merit_job.job(merit_job.digits(), 2)
    random = np.random.default_rng(0)
    weights = np.zeros(650)
    true = [merit_job.gradient(job, owner, weights) for owner in range(OWNERS)]
    sent = merit_job._sent(job, weights, [], true, 3.5, random)
    noise = [np.linalg.norm(a - b) for a, b in zip(sent, true, strict=True)]
    assert noise == pytest.approx([3.5] * OWNERS)
    played = merit_job.play(job, 1, 2)
    assert played.norms == pytest.approx([np.mean([np.linalg.norm(g) for g in true])])


def test_no_estimate_errs_less_than_the_bound() -> None:
    """And ours little more: what owners' rows add to it is small beside the noise."""
    found = merit_job.errors(merit_job.play(merit_job.job(merit_job.tumours(), 3), 20, 3))
    assert found[1] < found[0] < 2.0 * found[1]


def test_every_owner_is_dealt_into_one_block_a_round(idle: merit_job.Played) -> None:
    assert idle.record is not None
    rounds = decode(idle.record)
    assert len(rounds) == 20
    for each in rounds:
        assert sorted(each.members.tolist()) == list(range(OWNERS))
    assert Part.HONEST not in merit._IDLERS
