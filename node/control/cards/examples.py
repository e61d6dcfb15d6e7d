"""Examples of the methods about cards: the same ward as in node.control.examples, offered."""

from __future__ import annotations

from typing import Final

from node.control.cards import results as r

CARD_TOML: Final = (
    'title = "Ward visits"\n\n[[columns]]\nname = "age"\nkind = "number"\n\n'
    '[[columns]]\nname = "smoker"\nwords = ["yes", "no"]\n'
)

OFFER: Final = r.Offer(
    card=bytes.fromhex("3f5a9c02" * 8),
    peer="12D3KooWQ8qMPfiYteYLJop34UttTVh2oSXtddBisMYYBuZnV2rc",
    mine=False,
    title="Ward visits",
    rows="1000 to 3000",
    rows_least=1000,
    rows_below=3000,
    columns=(
        r.CardColumn("age", "number", ()),
        r.CardColumn("smoker", "category", ("yes", "no")),
    ),
    purposes=("research",),
    token=None,
    least_rate=2 * 10**15,
    valid_until=1_786_000_000.0,
    known_since=1_783_500_000.0,
)

OWN: Final = r.OwnCard("ward-3", True, OFFER, ())
OFFERS: Final = r.Offers(known=12, matching=1, offers=(OFFER,))
DETAIL: Final = r.OfferDetail(OFFER, '# Begun from card 0x3f5a9c02: Ward visits\ntitle = "…"\n')
MATCHES: Final = r.Matches(known=12, columns=7, purpose=6, price=5)
