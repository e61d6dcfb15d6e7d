"""The figures of merit by worth: what it follows, and what owners keep who add nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from protocol.arith.learning.models import Floats
from scripts.benchmarks import merit_job, merit_truth
from scripts.benchmarks.figures import Bar, Context, Figure, Measurement, Number, On, Suite
from scripts.benchmarks.merit_job import OWNERS, Case, Job, Part

#: Rounds of the two figures, as their bars have them.
_LONG, _SHORT = 40, 20

#: Jobs that a figure is taken of, by seed; and of the data set that it is only told for.
_JOBS, _TOLD = (1, 2), (1,)

#: The same for idle owners: seeds that nothing was tuned on, and enough of them for a bad one.
_IDLE_JOBS = tuple(range(2001, 2061))
_IDLE_TOLD = _IDLE_JOBS[:12]

#: Coalitions that a round's game is sampled by, for each of two samples; and a whole training's.
_EVALUATIONS, _TRAININGS = 760, 1900

#: Whose labels are wrong: every owner's, from none to four in five; and six owners' of twenty,
#: three of them all and three of them half.
_WRONG: Mapping[str, tuple[float, ...]] = {
    "more and more labels wrong": tuple(0.8 * n / (OWNERS - 1) for n in range(OWNERS)),
    "six owners with wrong labels": (1.0,) * 3 + (0.5,) * 3 + (0.0,) * (OWNERS - 6),
}

_BAR = 0.1

Parts = dict[str, tuple[Number | None, Number | None]]

_DATA: Mapping[str, Callable[[], Case]] = {
    "digits": merit_job.digits,
    "breast cancer": merit_job.tumours,
}


def _correlation(one: Floats, other: Floats) -> float:
    return float(np.corrcoef(one, other)[0, 1])


def follows(context: Context) -> Measurement:
    """How owners' worths correlate with their Shapley values."""
    parts: Parts = {}
    main = []
    for data, load in _DATA.items():
        case = load()
        for wrong, shares in _WRONG.items():
            for seed in _JOBS if data == "digits" else _TOLD:
                context.say(f"{data}, {wrong}, job {seed}")
                job = merit_job.job(case, seed, wrong=shares)
                played = merit_job.play(job, _LONG, seed)
                truth, agree = merit_truth.of_rounds(job, played, _EVALUATIONS)
                found = _correlation(merit_job.worths(played), truth)
                main += [found] if data == "digits" else []
                name = f"{data}, {wrong}, job {seed}"
                parts[name] = (found, None)
                parts[f"{name}: one sample of the truth with another"] = (agree, None)
    case, shares = merit_job.tumours(), _WRONG["six owners with wrong labels"]
    job = merit_job.job(case, 1, wrong=shares)
    played = merit_job.play(job, _LONG, 1)
    truth, agree = merit_truth.of_training(job, _LONG, _TRAININGS)
    name = "breast cancer, six owners with wrong labels, each coalition trained by itself"
    parts[name] = (_correlation(merit_job.worths(played), truth), None)
    parts[f"{name}: one sample of the truth with another"] = (agree, None)
    return Measurement(
        float(np.mean(main)),
        parts=parts,
        notes=(
            f"{OWNERS} owners, {_LONG} rounds, blocks of {merit_job.BLOCK} drawn anew; each "
            f"owner's noise has {merit_job.NOISE:g} times the norm of the round's mean gradient",
            "ours is the mean over digits; the truth sees each owner's gradient without noise: "
            "Shapley values of the rounds' games among twenty owners, whose utility is the mean "
            f"probability of the right class, by two samples of {_EVALUATIONS} coalitions a round",
        ),
    )


_IDLERS: Mapping[Part, str] = {
    Part.ZERO: "sends zeros",
    Part.RANDOM: "sends noise",
    Part.COPY: "copies the last round's mean",
}


def idle(_: Context) -> Measurement:
    """The most that is kept, in parts of an equal share, by owners who add nothing."""
    parts: Parts = {}
    kept = _shares(merit_job.digits(), tuple(_IDLERS), _IDLE_JOBS)
    most = float(kept[:, : len(_IDLERS)].max())
    many = int(np.count_nonzero(kept[:, : len(_IDLERS)].max(axis=1) > _BAR))
    parts[f"jobs in which any of them keeps more than {_BAR:g}, of {len(kept)}"] = (many, None)
    for place, what in enumerate(_IDLERS.values()):
        parts[f"{what}: the most of {len(kept)} jobs"] = (float(kept[:, place].max()), None)
        parts[f"{what}: the mean"] = (float(kept[:, place].mean()), None)
    honest = np.sort(kept[:, len(_IDLERS) :], axis=1)
    parts["honest beside them: the least, a mean over jobs"] = (float(honest[:, 0].mean()), None)
    parts["honest beside them: the middle one"] = (float(np.median(honest)), None)
    for part, what in (
        (Part.OLDER, "copies the mean of five rounds before"),
        (Part.MODEL, "sends the model's own weights, turned round"),
    ):
        told = _shares(merit_job.digits(), (part,))[:, 0]
        parts[f"not in ours, {what}: the mean"] = (float(told.mean()), None)
    for data, load in _DATA.items():
        found = [
            merit_job.errors(merit_job.play(merit_job.job(load(), seed), _SHORT, seed))
            for seed in _IDLE_TOLD
        ]
        error, least, own = (float(np.mean(each)) for each in zip(*found, strict=True))
        name = f"error of a worth, {data}, in parts of the mean"
        parts |= {name: (error, None), f"{name}: by noise alone, at the least": (least, None)}
        parts[f"{name}: of own parts"] = (own, None)
    small = _shares(merit_job.tumours(), tuple(_IDLERS))[:, : len(_IDLERS)]
    for place, what in enumerate(_IDLERS.values()):
        name = f"not in ours, breast cancer (31 weights), {what}: the mean"
        parts[name] = (float(small[:, place].mean()), None)
    for data, load in _DATA.items():
        flipped = _flippers(load())
        name = (
            f"not in ours, {data}, turns all labels, 30 % of the hold-out's wrong, {_LONG} rounds"
        )
        parts[f"{name}: the most of {len(flipped)} jobs"] = (float(flipped.max()), None)
        parts[f"{name}: the mean"] = (float(flipped.mean()), None)
    return Measurement(
        most,
        parts=parts,
        notes=(
            f"{OWNERS} owners of whom three add nothing, {_SHORT} rounds, blocks of "
            f"{merit_job.BLOCK} drawn anew, noise of {merit_job.NOISE:g} gradients' norm; shares "
            "of a pot by the product's weights; ours is the most of any job and any of the three",
        ),
    )


def _shares(case: Case, parts: tuple[Part, ...], seeds: tuple[int, ...] = _IDLE_TOLD) -> Floats:
    """Shares of each job's owners, [jobs, owners]; the first ones play `parts`."""

    def of(seed: int) -> Floats:
        job = merit_job.job(case, seed, parts=dict(enumerate(parts)))
        return merit_job.shares(merit_job.play(job, _SHORT, seed))

    return np.array([of(seed) for seed in seeds])


def _flippers(case: Case) -> Floats:
    """Shares of an owner all of whose labels are wrong, by a hold-out with many wrong ones."""
    wrong = (1.0,) + (0.0,) * (OWNERS - 1)

    def of(seed: int) -> float:
        job: Job = merit_job.job(case, seed, wrong=wrong, holdout_wrong=0.3)
        return float(merit_job.shares(merit_job.play(job, _LONG, seed))[0])

    return np.array([of(seed) for seed in _IDLE_TOLD])


SUITE = Suite(
    name="merit",
    title="Merit by worth",
    figures=(
        Figure(
            "merit-shapley",
            "how members' worths correlate with Shapley values, where noise is twice the gradient",
            "",
            Bar(On.OURS, 0.9),
            follows,
        ),
        Figure(
            "merit-idle",
            "the largest share that an owner keeps who adds nothing, in parts of an equal one",
            "",
            Bar(On.OURS, _BAR, at_most=True),
            idle,
        ),
    ),
)
