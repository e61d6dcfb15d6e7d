"""Parameters of the methods about cards. Frozen; checked by node.control.wire before the call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from node.control.wire import Address, DatasetName, Wei, Wire

#: A card: the first digits of its id, at least four.
CardId = Annotated[str, Wire("card", r"^(0x)?[0-9a-f]{4,64}$", "0x3f5a9c02", str, str)]


@dataclass(frozen=True)
class PublishParams:
    """A card to publish.

    dataset: the dataset that it is of
    card: what its owner declares, TOML text
    dry_run: show it, and publish nothing
    """

    dataset: DatasetName
    card: str
    dry_run: bool = False


@dataclass(frozen=True)
class OffersParams:
    """Which cards are looked for; without any of these, all.

    columns: names of columns that a card has all of
    kind: of those columns; of any, where none is named
    purpose: a purpose that it allows
    max_rate: the most that its least rate may be, in the smallest unit of the token
    token: the token that it asks for; null: the chain's own coin where max_rate is given, else any
    limit: how many are listed
    """

    columns: tuple[str, ...] = ()
    kind: Literal["number", "category"] | None = None
    purpose: str | None = None
    max_rate: Wei | None = None
    token: Address | None = None
    limit: int = 100


@dataclass(frozen=True)
class OfferParams:
    """One card.

    card: its id or an unambiguous prefix, of four digits at least
    """

    card: CardId


@dataclass(frozen=True)
class MatchParams:
    """A job to count cards for.

    spec: the spec, TOML text
    no_noise: as for `job.post`
    """

    spec: str
    no_noise: bool = False
