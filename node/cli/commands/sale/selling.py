"""offer, offer withdraw, offers, sales, purchases, redeem, reclaim: a model's use, by the row."""

from __future__ import annotations

from typing import Annotated, Final

from cyclopts import Parameter

from node.cli.commands.sale import views
from node.cli.options import Here, Job, Yes
from node.console.asking import agree
from node.control.codes import Exit

#: What an offer allows where its seller says nothing else.
_BATCH: Final = 1000
_MINUTE: Final = 60
_DAYS: Final = 30

Offer = Annotated[str, Parameter(help="An offer's id, or its beginning; `assay offers`.")]


def offer(
    job: Job,
    *,
    price: Annotated[str, Parameter(help="Of one row, with its unit: '0.0001 ether', '0.1 USDC'.")],
    token: Annotated[
        str | None, Parameter(help="A token's name here or its address, for '7 units' of it.")
    ] = None,
    scores: Annotated[
        bool, Parameter(negative="", help="Sell the scores; default: the class alone.")
    ] = False,
    batch: Annotated[
        int, Parameter(help="Rows that a buyer may ask one after the other.")
    ] = _BATCH,
    minute: Annotated[int, Parameter(help="Rows a minute and buyer, beyond these.")] = _MINUTE,
    days: Annotated[int, Parameter(help="How long the offer stands.")] = _DAYS,
    accuracy: Annotated[
        float | None, Parameter(help="The accuracy that you state, 0 to 1. Nobody can check it.")
    ] = None,
    yes: Yes = False,
    session: Here,
) -> int:
    """Put a finished job's model on sale: private predictions, by the row.

    Buyers never see the model, and you never see what they ask. Answers give a model away all the
    same, bit by bit; what that costs a buyer is shown before you agree. The model must be linear in
    its features, or in the job's public map of them.
    """
    from node.console.asked import amount

    number, address = amount(session.tokens, price, token, "price")
    given = {
        "job": job,
        "price": str(number),
        "token": address,
        "scores": scores,
        "batch": batch,
        "minute": minute,
        "days": days,
        "accuracy": accuracy,
    }
    if not yes:
        found = session.call("sale.offer", {**given, "dry_run": True})
        text = views.to_sell(found["offer"], session.tokens)
        # The next command offers the same.
        options = (
            ("token", token, None),
            ("batch", batch, _BATCH),
            ("minute", minute, _MINUTE),
            ("days", days, _DAYS),
            ("accuracy", accuracy, None),
        )
        more = "".join(f" --{name} {said}" for name, said, usual in options if said != usual)
        command = f"assay offer {job} --price '{price}'{more}{' --scores' * scores}"
        agree(text, "offer it?", command=command, left="nothing was offered")
    found = session.call("sale.offer", given)
    session.emit(found, views.sold(found["offer"], session.tokens))
    return Exit.OK


def offer_withdraw(given: Offer, *, session: Here) -> int:
    """Take an offer off sale. Channels that were opened for it are served on."""
    gone = session.call("sale.withdraw", {"offer": given})
    text = f"offer {gone['offer'][:10]} is withdrawn; channels that were opened are served on"
    session.emit(gone, [text])
    return Exit.OK


def offers(*, session: Here) -> int:
    """Models on sale. Connected peers are asked first, for a few seconds."""
    found = session.call("sale.offers", {"ask": True})
    session.emit(found, views.offers(found, session.tokens))
    return Exit.OK


def offers_show(given: Offer, *, session: Here) -> int:
    """An offer, and where its model comes from: what the chain says, and what nobody can check."""
    found = session.call("sale.show", {"offer": given}, 120.0)
    session.emit(found, views.detail(found, session.tokens))
    return Exit.OK


def sales(*, session: Here) -> int:
    """Channels over which buyers ask this home: granted, redeemed, left."""
    return _channels(session, "seller")


def purchases(*, session: Here) -> int:
    """Channels over which this home buys: what is granted, and what is left."""
    return _channels(session, "buyer")


def _channels(session: Here, side: str) -> int:
    found = session.call("sale.channels")
    found["channels"] = [each for each in found["channels"] if each["side"] == side]
    session.emit(found, views.channels(found, side, session.tokens))
    return Exit.OK


def redeem(
    channel: Annotated[
        str | None, Parameter(help="A channel's id, or its beginning; default: all.")
    ] = None,
    *,
    session: Here,
) -> int:
    """Turn what buyers granted into money: a transaction each channel, followed until it is final.

    The daemon does so by itself hours before a channel expires, and where it is worth many times
    the gas.
    """
    found = session.call("sale.redeem", {"channel": channel})
    session.emit(found, views.redeemed(found, session.tokens))
    return Exit.OK


def reclaim(
    channel: Annotated[str, Parameter(help="A channel's id, or its beginning; `assay purchases`.")],
    *,
    session: Here,
) -> int:
    """Take back what is left of a channel now, with its seller's signature.

    Nothing more can be asked over it. Two transactions at most: what you granted is paid to the
    seller, and the rest comes back. Without the seller it comes back by itself at the expiry.
    """
    found = session.call("sale.reclaim", {"channel": channel})
    session.emit(found, views.reclaimed(found, session.tokens))
    return Exit.OK
