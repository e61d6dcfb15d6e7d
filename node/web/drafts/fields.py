"""The fields of a draft's forms, step by step, each with its words; what a draft proposes for them.

A name with a dot is the spec's own (docs/spec/job.md), and what is left empty takes its default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Asked:
    """One field: its label, a hint, and for a choice the values with their words."""

    name: str
    label: str
    hint: str = ""
    options: tuple[tuple[str, str], ...] = ()
    numeric: bool = False


def _number(name: str, label: str, hint: str = "") -> Asked:
    return Asked(name, label, hint, numeric=True)


#: Steps in their order: the last part of the address, and the title.
STEPS: Final = (
    ("table", "Table"),
    ("columns", "Columns"),
    ("model", "Model and rounds"),
    ("privacy", "Privacy and owners"),
    ("payment", "Payment and hold-out"),
    ("costs", "Costs, and posting"),
)

COLUMNS: Final = (
    Asked("title", "Title", "what owners read first"),
    Asked("purpose", "Purpose", "one word, which policies compare: research, teaching, …"),
    Asked(
        "outside",
        "A number outside of its range",
        "",
        (("clip", "becomes the nearer end"), ("refuse", "makes its row unusable")),
    ),
)

MODEL: Final = (
    Asked(
        "model.family",
        "Model",
        "logistic: two classes; softmax: any classes; linear: a number; dense: one hidden layer",
        tuple((name, name) for name in ("logistic", "softmax", "linear", "dense")),
    ),
    _number("model.hidden", "Hidden units", "of a dense model; otherwise empty"),
    _number("training.rounds", "Rounds", "each is paid, and with noise each costs privacy"),
    _number(
        "training.local_steps", "Steps of a round", "1 with noise: it is added to one gradient"
    ),
    _number(
        "training.batch_rows", "Rows of a step", "about a third of an owner's rows is a good start"
    ),
    _number("training.rate", "Learning rate"),
    _number("training.clip_norm", "Clip norm", "most that one row adds to a gradient"),
    _number("training.momentum", "Momentum", "from 0 to below 1"),
    _number("timing.enrol_seconds", "Seconds to enrol", "how long owners have to come"),
    _number("timing.ready_seconds", "Seconds to be ready", "of each round"),
    _number("timing.contribute_seconds", "Seconds to contribute", "of each round"),
    _number("timing.finality_blocks", "Blocks to finality", "as your chain needs"),
    _number("timing.lifetime_days", "Days to live", "empty: twice what all deadlines take"),
)

PRIVACY: Final = (
    Asked(
        "noise",
        "Noise",
        "each owner adds it to what leaves; without, few policies let their data train",
        (("yes", "owners add noise"), ("no", "none")),
    ),
    _number("privacy.epsilon", "Epsilon", "most that all rounds may tell of a row; 10 is weak"),
    _number("privacy.delta", "Delta", "far below 1 / rows of an owner, such as 1e-5"),
    _number("privacy.dropouts", "Drop-outs", "members of a block that may vanish in a round"),
    Asked(
        "encryption.envelope",
        "What closes a contribution",
        "masks hide it from everybody; Paillier closes it to others even where a mask leaks later",
        (("masks", "masks"), ("paillier", "masks, and Paillier encryption")),
    ),
    _number("encryption.value_bits", "Bits of a value", "18 with noise: one row must show on it"),
    _number("cohort.min_owners", "Least owners", "the job waits for so many"),
    _number("cohort.max_owners", "Most owners", "the escrow is for so many"),
    _number("cohort.block_size", "Owners of a block", "the fewest whose sum is read"),
)

PAYMENT: Final = (
    Asked("payment.token", "Paid in", "ether, a token's name here or its address"),
    Asked("payment.rate", "For a contribution", "such as 0.001 ether; one owner in one round"),
    Asked("payment.merit", "Pot at the end", "such as 0.02 ether; 0 for none"),
    Asked(
        "payment.merit_by",
        "The pot is shared",
        "by worth needs 15 owners, and publishes the hold-out's rows when the job ends",
        (
            ("equal", "equally"),
            ("worth", "by worth, on the hold-out"),
            ("discretion", "by my own measuring, which nobody can check"),
        ),
    ),
)

FIELDS: Final[Mapping[str, tuple[Asked, ...]]] = {
    "columns": COLUMNS,
    "model": MODEL,
    "privacy": PRIVACY,
    "payment": PAYMENT,
}

#: What a new draft proposes (as `assay job new` does).
PROPOSED: Final[Mapping[str, str]] = {
    "title": "",
    "purpose": "research",
    "outside": "clip",
    "model.family": "logistic",
    "training.rounds": "20",
    "training.local_steps": "1",
    "training.batch_rows": "96",
    "training.rate": "2.0",
    "training.clip_norm": "1.0",
    "training.momentum": "0.5",
    "timing.enrol_seconds": "600",
    "timing.ready_seconds": "60",
    "timing.contribute_seconds": "600",
    "timing.finality_blocks": "3",
    "noise": "yes",
    "privacy.epsilon": "8.0",
    "privacy.delta": "1e-5",
    "encryption.envelope": "masks",
    "encryption.value_bits": "18",
    "cohort.min_owners": "5",
    "cohort.max_owners": "5",
    "cohort.block_size": "5",
    "payment.token": "ether",
    "payment.rate": "0.001 ether",
    "payment.merit": "0.02 ether",
    "payment.merit_by": "equal",
}

#: Which section of a spec belongs to which step.
SECTIONS: Final[Mapping[str, str]] = {
    "model": "model",
    "training": "model",
    "timing": "model",
    "privacy": "privacy",
    "encryption": "privacy",
    "cohort": "privacy",
    "payment": "payment",
}
