"""What is timed of a sale is right, and a wrong answer is no figure; bars are the issue's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from scripts.benchmarks import encode, head, sale
from scripts.benchmarks.figures import Reply
from scripts.benchmarks.sides import assay_channels, assay_matvec, assay_queries

SMALL: dict[str, Any] = {"features": 5, "classes": 3, "bits": 512}


def test_both_modes_are_timed_by_side() -> None:
    scores: Any = assay_queries.CALLS["scores"](**SMALL)
    label: Any = assay_queries.CALLS["label"](**SMALL)
    assert set(scores["parts"]) == {"buyer", "seller"}
    assert set(label["parts"]) == {"query", "mask", "choose", "garble", "reveal"}
    for reply in (scores, label):
        assert reply["seconds"] == pytest.approx(sum(reply["parts"].values()))
        assert min(reply["counts"].values()) > 0


def test_another_answer_than_the_models_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assay_queries.plain, "scores", lambda *_: np.array([0, 0, -1]))
    with pytest.raises(ValueError, match="the scores are not the model's"):
        assay_queries.scores(**SMALL)
    # Of three classes two are wrong, whatever the model says.
    right = np.eye(3, dtype=np.int64)
    refused = []
    for expected in right:
        monkeypatch.setattr(assay_queries.plain, "scores", lambda *_, e=expected: e)
        try:
            assay_queries.one_label(**SMALL)
        except ValueError as error:
            refused.append(str(error))
    assert refused == ["the label is not the model's"] * 2


class Sides:
    """A context whose sides compute here."""

    runs = 1
    frames = 1

    def __init__(self, digest: int | None = None) -> None:
        self.digest = digest

    def side(self, name: str) -> Any:
        return _Here(name, self.digest)

    def say(self, text: str) -> None:
        raise AssertionError(text)


class _Here:
    def __init__(self, name: str, digest: int | None) -> None:
        self.name, self.digest = name, digest

    def call(self, function: str, **given: Any) -> Reply:
        if self.name == "heu-matvec":
            return Reply(1.0, {}, {"digest": self.digest or 0})
        calls = assay_queries.CALLS if self.name == "queries" else assay_matvec.CALLS
        found: Any = calls[function](**given)
        return Reply(found["seconds"], found.get("parts", {}), found["counts"])


def test_figures_say_sides_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sale, "_SIZE", SMALL)
    context: Any = Sides()
    both = sale.scores("bytes", context)
    assert both.ours == pytest.approx((45 + 5 * 128 + 45 + 128) / 1000)
    assert sale.scores("buyer", context).parts.keys() == {"buyer", "seller"}
    assert "four messages" in sale.label(context).notes[0]


def test_a_product_that_the_peer_does_not_share_is_no_figure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sale, "_HEU_BITS", 512)
    monkeypatch.setattr(sale, "FEATURES", 7)
    context: Any = Sides()
    with pytest.raises(ValueError, match="do not decrypt to the same product"):
        sale.heu(context)


@pytest.mark.parametrize("mode", ["label", "scores"])
@pytest.mark.parametrize("each", [False, True], ids=["with the next", "each"])
def test_bookkeeping_ends_with_every_voucher_in_both_stores(mode: str, each: bool) -> None:
    way = {"queries": 3, "channels": 2, "whole": mode == "scores", "each": each}
    found: Any = assay_channels.CALLS["keep"](mode, **way)
    assert found["seconds"] > 0
    # A buyer stores 3 steps and a seller 2, for scores 2 and 1; a payment is stored by both.
    steps, payments = {"label": 5, "scores": 3}[mode], 3 if each else 1
    assert found["counts"]["commits"] == 2 * (3 * steps + 2 * payments)


def test_a_store_that_lost_a_voucher_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    class Forgetful(assay_channels.ServedChannels):
        async def load(self) -> None:
            """Nothing is there after the crash."""

    monkeypatch.setattr(assay_channels, "ServedChannels", Forgetful)
    with pytest.raises(ValueError, match="do not hold the vouchers"):
        assay_channels.keep("scores", queries=1, channels=1, whole=False, each=False)


def test_bars_are_the_issues() -> None:
    bars = {figure.name: figure.bar for figure in sale.SUITE.figures}
    assert {name: bar.value for name, bar in bars.items() if bar} == {
        "encode": 1.3,
        "head-accuracy": 0.5,
        "head-accuracy-noise": 0.5,
        "query-scores": 0.3,
        "query-scores-seller": 0.3,
        "query-scores-bytes": 400,
        "query-label": 1.5,
        "query-heu": 100,
        "query-concrete": 1,
        "query-concrete-bytes": 1,
        "voucher": 200,
        "gas-channel-open": 75_000,
        "gas-channel-redeem": 60_000,
        "gas-channel-close": 50_000,
    }
    assert sale.gas("open", Sides()).ours < 75_000


def test_a_sentence_is_timed_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"_SIZE": 24, "_WIDE": 32, "_LAYERS": 1, "_WORDS": 64}
    for name, value in small.items():
        monkeypatch.setattr(encode, name, value)
    shape = replace(encode._SHAPE, size=24, layers=1)
    monkeypatch.setattr(encode, "_SHAPE", shape)
    found = encode.encode(Sides())
    assert found.peer is not None
    assert found.ratio == pytest.approx(found.ours / found.peer)
    assert found.notes[0].startswith("a sentence of 64 tokens; 1 batches of 64")


def test_features_that_differ_are_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"_SIZE": 24, "_WIDE": 32, "_LAYERS": 1, "_WORDS": 64}.items():
        monkeypatch.setattr(encode, name, value)
    monkeypatch.setattr(encode, "_SHAPE", replace(encode._SHAPE, size=24, layers=1))
    embed = encode.embed
    monkeypatch.setattr(encode, "embed", lambda *given: embed(*given) + 1)
    with pytest.raises(ValueError, match="features differ"):
        encode.encode(Sides())


def test_a_head_is_told_in_points_behind_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    noisy = {8.0: 79.0, 4.0: 78.0, 2.0: 76.0, 1.0: 75.0}
    monkeypatch.setattr(head, "curve", lambda _: head.Curve(83.0, 83.5, noisy))
    exact, at_8 = (head.gap(epsilon, Sides()) for epsilon in (None, 8.0))
    assert (exact.ours, at_8.ours) == (-0.5, 4.0)
    assert exact.parts["no noise"] == (83.5, 83.0)
    assert exact.parts["epsilon 1"] == (75.0, 83.0)


def test_the_clear_head_is_measured_on_rows_that_it_was_not_given() -> None:
    dice = np.random.default_rng(3)
    y = dice.integers(0, 2, head.SENTENCES).astype(float)
    noise = dice.normal(size=(head.SENTENCES, 8))
    assert head.in_the_clear((noise + 9 * y[:, None], y)) == 100.0
    # As many columns of noise as rows would be learned by heart, and tell nothing of others.
    assert head.in_the_clear((noise, y)) < 60
