"""card, job new --card: what an owner tells of its data, and a requester looks for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from node.cli import card_views
from node.cli.options import Dataset, Here
from node.console.failure import Failure
from node.console.session import Session
from node.control.codes import Exit


def card_publish(
    dataset: Dataset,
    file: Annotated[Path, Parameter(help="The card: a TOML file, written by hand.")],
    *,
    dry_run: Annotated[
        bool, Parameter(negative="", help="Show the card, and publish nothing.")
    ] = False,
    session: Here,
) -> int:
    """Publish a card of a dataset, in the place of its card before.

    It tells everybody, for good, that this peer has such data: the columns that FILE names, a
    bucket of the row count, purposes, least rate. docs/guides/cards.md says what that gives away.
    """
    given = {"dataset": dataset, "card": _read(file), "dry_run": dry_run}
    own = session.call("card.publish", given)
    session.emit(own, card_views.own_card(own, session.tokens))
    return Exit.OK


def card_list(*, session: Here) -> int:
    """Published cards of this home."""
    found = session.call("card.list")
    session.emit(found, card_views.own_cards(found))
    return Exit.OK


def card_withdraw(dataset: Dataset, *, session: Here) -> int:
    """Take a dataset's card back. Who has read it keeps what it said."""
    gone = session.call("card.withdraw", {"dataset": dataset})
    text = f"the card of {gone['dataset']} is withdrawn; who has read it keeps what it said"
    session.emit(gone, [text])
    return Exit.OK


def card_search(
    card: Annotated[str | None, Parameter(help="A card's id, or its beginning: all of it.")] = None,
    *,
    column: Annotated[
        tuple[str, ...], Parameter(help="A column that it has; give it again for more.")
    ] = (),
    kind: Annotated[
        Literal["number", "category"] | None,
        Parameter(help="Of these columns; of any, where none is named."),
    ] = None,
    purpose: Annotated[str | None, Parameter(help="A purpose that it allows.")] = None,
    max_price: Annotated[
        str | None, Parameter(help="The most that its least rate may be: '0.002 ether', '5 USDC'.")
    ] = None,
    token: Annotated[str | None, Parameter(help="A token's name here, or its address.")] = None,
    limit: Annotated[int, Parameter(help="How many are listed.")] = 100,
    session: Here,
) -> int:
    """Cards of datasets that are known here, all or those that are looked for.

    A card is its owner's word: nobody has looked at the data.
    """
    if card is not None:
        detail = session.call("offer.show", {"card": card.lower()})
        session.emit(detail["offer"], card_views.offer(detail["offer"], session.tokens))
        return Exit.OK
    asked = _Price.of(session, max_price, token)
    given = {
        "columns": list(column),
        "kind": kind,
        "purpose": purpose,
        "max_rate": asked.most,
        "token": asked.token,
        "limit": limit,
    }
    found = session.call("offers", given)
    session.emit(found, card_views.offers(found, session.tokens))
    return Exit.OK


def spec_from_card(session: Session, card: str) -> str:
    """A commented spec, TOML text, from a card that the daemon knows. Raises Failure."""
    return str(session.call("offer.show", {"card": card.lower()})["spec"])


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        text = f"{path} cannot be read: {error.strerror}"
        raise Failure(Exit.USAGE, text, field="file") from None
    except UnicodeDecodeError:
        raise Failure(Exit.USAGE, f"{path} is not UTF-8 text", field="file") from None


@dataclass(frozen=True)
class _Price:
    """What a price is looked for in, as the control socket takes it."""

    most: str | None
    token: str | None

    @classmethod
    def of(cls, session: Session, most: str | None, token: str | None) -> _Price:
        """`most` names its currency itself where it has a unit. Raises InputError."""
        from protocol.addresses import ZERO_ADDRESS, to_checksum
        from protocol.tokens import NO_TOKENS

        if most is None and token is None:
            return cls(None, None)
        tokens = session.tokens or NO_TOKENS
        named = None if most is None else tokens.unit_of(most)
        address = named.address if named is not None else ZERO_ADDRESS
        if token is not None:
            address = tokens.address(token)
        amount = None if most is None else str(tokens.parse(most, address, "max_price"))
        return cls(amount, None if address == ZERO_ADDRESS else to_checksum(address))
