"""Sales on the page: what is shown of offers and channels, and forms that offer and redeem."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from kits.web.served import Site, site

from node.control import examples as ex
from node.control.sale import examples as sx
from node.control.sale import results as r
from node.web import said
from protocol.errors import InputError, PeerError, StateError

OFFER = f"0x{sx.OFFER.offer.hex()}"
TERMS = {"job": ex.JOB, "price": "0.00001 ether", "mode": "label", "accuracy": "0.94"}


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path) as page:
        summary = dataclasses.replace(ex.SUMMARY, role="requester", state="finished")
        detail = dataclasses.replace(ex.DETAIL, summary=summary)
        page.running.node.jobs_known[ex.JOB] = detail
        yield page


def known(page: Site, *offers: r.SaleOffer) -> list[bool]:
    """The daemon knows these offers; whether peers were asked for them, call by call."""
    asked: list[bool] = []

    async def sale_offers(ask: bool) -> r.SaleOffers:
        asked.append(ask)
        return r.SaleOffers(offers)

    page.running.node.sale_offers = sale_offers  # type: ignore[method-assign]
    return asked


def channels(page: Site, *made: r.SaleChannel) -> None:
    async def sale_channels() -> r.SaleChannels:
        return r.SaleChannels(ex.CONTRACT, made)

    page.running.node.sale_channels = sale_channels  # type: ignore[method-assign]


async def test_offers_of_mine_come_with_what_was_granted_and_redeemed(page: Site) -> None:
    mine = dataclasses.replace(sx.OFFER, mine=True)
    other = dataclasses.replace(sx.OFFER, offer=b"\x11" * 32)
    known(page, mine, other)
    more = dataclasses.replace(sx.CHANNEL, channel=b"\x22" * 32, redeemed=5 * 10**13)
    bought = dataclasses.replace(sx.CHANNEL, channel=b"\x33" * 32, side="buyer", left=7 * 10**13)
    channels(page, sx.CHANNEL, more, bought)
    text = (await page.ask("/sale")).text
    yours, others, purchases = re.split(r'<h2 id="(?:others|purchases)">', text)
    assert '<dt>answers</dt><dd class="num">38</dd>' in yours
    assert "<dt>granted</dt><dd>0.00038 ether</dd>" in yours
    assert "<dt>redeemed</dt><dd>0.00005 ether</dd>" in yours
    assert yours.count("Redeem 0.00019 ether") == 1
    assert yours.count("Redeem 0.00014 ether") == 1
    assert "Withdraw it" in yours
    assert "0x" + "11" * 32 in others
    assert OFFER not in others
    assert "94%" in others
    assert "0x" + "33" * 32 in purchases
    assert "<td>0.00007 ether</td>" in purchases
    assert "Redeem " not in purchases
    assert "Take back 0.00007 ether</button>" in purchases


async def test_peers_are_asked_by_a_click_and_not_by_the_script(page: Site) -> None:
    asked = known(page)
    await page.ask("/sale")
    await page.ask("/sale?ask=1")
    await page.ask("/sale?ask=1", Sec_Fetch_Dest="empty", Sec_Fetch_Site="same-origin")
    assert asked == [False, True, False]


async def test_an_offer_says_what_binds_what_the_chain_says_and_what_nobody_can_check(
    page: Site,
) -> None:
    text = (await page.ask(f"/sale/offer/{OFFER}")).text
    assert "3 owners, 10 rounds, 30 contributions, finished" in text
    assert "the job's requester" in text
    assert "The accuracy is the seller's word: 94%" in text
    assert f"assay predict {OFFER} FILE" in text

    async def foreign(offer: str) -> r.SaleOfferDetail:
        return dataclasses.replace(sx.DETAIL, sold_by_requester=False, problem="no spec here")

    page.running.node.sale_show = foreign  # type: ignore[method-assign]
    text = (await page.ask(f"/sale/offer/{OFFER}")).text
    assert "<strong>NOT the job's requester</strong>" in text
    assert "no spec here" in text
    assert (
        await page.ask("/sale/offer/0xffff")
    ).status == 200  # the fake's word, whatever is asked


async def test_what_is_offered_was_shown_before_and_counts_once(page: Site) -> None:
    assert f'href="/sale/new?job={ex.JOB}"' in (await page.ask(f"/job/{ex.JOB}")).text
    form = (await page.ask(f"/sale/new?job={ex.JOB}")).text
    assert f'<option value="{ex.JOB}" selected>' in form
    shown = await page.post("/sale/new", **TERMS)
    assert shown.status == 200
    assert "1056 answers carry as many bits" in shown.text
    assert "1056 answers cost 0.01056 ether" in shown.text
    given = (ex.JOB, 10**13, None, False, 1000, 60, 30, 0.94)
    assert page.running.node.sold == [(*given, True)]
    found = re.search(r'name="mark" value="([\w-]+)"', shown.text)
    assert found is not None
    answer = await page.post("/sale/sell", mark=found[1])
    assert (answer.status, answer.headers["location"]) == (303, "/sale")
    assert page.running.node.sold == [(*given, True), (*given, False)]
    assert f"Offer {OFFER[:10]} stands" in (await page.ask("/sale")).text
    again = await page.post("/sale/sell", mark=found[1])
    assert (again.status, len(page.running.node.sold)) == (409, 2)
    assert "nothing was offered now" in again.text


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("price", "5", "say of what"),
        ("price", "", "say of what"),
        ("price", "-1 ether", "price"),
        ("accuracy", "much", "a number is expected"),
        ("days", "<b>", "a number is expected"),
        ("batch", "9" * 5000, "a number is expected"),
    ],
)
async def test_a_wrong_term_is_said_beside_its_field(
    page: Site, field: str, value: str, why: str
) -> None:
    answer = await page.post("/sale/new", **{**TERMS, field: value})
    assert answer.status == 400
    assert "It was not offered" in answer.text
    assert why in answer.text.split(f'id="e-{field}"')[1].split("</p>")[0]
    assert page.running.node.sold == []


async def test_what_the_daemon_refuses_to_sell_is_said_and_the_terms_stay(page: Site) -> None:
    async def refused(*_: object) -> r.Sold:
        raise StateError("a finished job's model is sold")

    page.running.node.sale_offer = refused  # type: ignore[method-assign,assignment]
    answer = await page.post("/sale/new", **TERMS)
    assert answer.status == 400
    assert "a finished job&#39;s model is sold" in answer.text
    assert 'value="0.00001 ether"' in answer.text


async def test_a_click_withdraws_and_a_click_redeems(page: Site) -> None:
    known(page, dataclasses.replace(sx.OFFER, mine=True))
    answer = await page.post(f"/sale/offer/{OFFER}/withdraw")
    assert (answer.status, answer.headers["location"]) == (303, "/sale")
    assert f"Offer {OFFER[:10]} is withdrawn" in (await page.ask("/sale")).text
    asked: list[str | None] = []

    async def redeem(channel: str | None) -> r.SaleChannels:
        asked.append(channel)
        return sx.CHANNELS

    page.running.node.sale_redeem = redeem  # type: ignore[method-assign]
    channel = f"0x{sx.CHANNEL.channel.hex()}"
    assert (await page.post("/sale/redeem", channel=channel)).status == 303
    assert asked == [channel]
    assert "Redeemed, and final" in (await page.ask("/sale")).text

    async def nothing(channel: str | None) -> r.SaleChannels:
        raise StateError("there is nothing to redeem")

    page.running.node.sale_redeem = nothing  # type: ignore[method-assign]
    answer = await page.post("/sale/redeem")
    assert answer.status == 409
    assert "there is nothing to redeem" in answer.text


async def test_a_click_takes_back_what_is_left_of_a_purchase(page: Site) -> None:
    bought = dataclasses.replace(sx.LEFT, state="open")
    spent = dataclasses.replace(bought, channel=b"\x33" * 32, left=0)
    channels(page, bought, spent, sx.LEFT)
    assert (await page.ask("/sale")).text.count("Take back 0.00011 ether</button>") == 1
    asked: list[str] = []

    async def reclaim(channel: str) -> r.SaleChannels:
        asked.append(channel)
        return sx.RECLAIMED

    page.running.node.sale_reclaim = reclaim  # type: ignore[method-assign]
    channel = f"0x{bought.channel.hex()}"
    answer = await page.post("/sale/reclaim", channel=channel)
    assert (answer.status, answer.headers["location"]) == (303, "/sale")
    assert asked == [channel]
    told = (await page.ask("/sale")).text
    assert f"Channel {channel[:10]} is closed: 0.00011 ether came back." in told

    async def away(channel: str) -> r.SaleChannels:
        raise PeerError("the seller is away; what is left comes back at the expiry")

    page.running.node.sale_reclaim = away  # type: ignore[method-assign]
    answer = await page.post("/sale/reclaim", channel=channel)
    assert answer.status == 502
    assert "what is left comes back at the expiry" in answer.text


async def test_a_home_without_a_channel_contract_says_so_and_shows_the_rest(page: Site) -> None:
    async def unknown(ask: bool) -> r.SaleOffers:
        raise InputError("this home knows no channel contract", "chain.channel_contract")

    page.running.node.sale_offers = unknown  # type: ignore[method-assign]
    answer = await page.ask("/sale")
    assert answer.status == 200
    assert "this home knows no channel contract" in answer.text
    assert "Channels over which you are asked" in answer.text


async def test_texts_of_sellers_and_buyers_are_words(page: Site) -> None:
    texts = ("<img src=x onerror=alert(1)>", '"><b>', "\u202eevil\x1b[2J", "A" * 10_000)

    async def told(text: str) -> list[str]:
        known(page, dataclasses.replace(sx.OFFER, peer=text, warning=text))
        channels(page, dataclasses.replace(sx.CHANNEL, peer=text, problem=text))

        async def show(offer: str) -> r.SaleOfferDetail:
            of = dataclasses.replace(sx.OFFER, peer=text)
            made = dataclasses.replace(sx.DETAIL, offer=of, columns=(text,), answers=(text,))
            return dataclasses.replace(made, title=text, purpose=text, problem=text)

        page.running.node.sale_show = show  # type: ignore[method-assign]
        summary = dataclasses.replace(ex.SUMMARY, role="requester", state="finished", title=text)
        detail = dataclasses.replace(ex.DETAIL, summary=summary)
        page.running.node.jobs_known[ex.JOB] = detail
        paths = ("/sale", f"/sale/offer/{OFFER}", "/sale/new")
        return [(await page.ask(path)).text for path in paths]

    plain = [re.findall(r"<(\w+)", text) for text in await told("x")]
    for text in texts:
        shown = await told(text)
        assert [re.findall(r"<(\w+)", each) for each in shown] == plain, text[:40]
        assert all("\u202e" not in each and "\x1b" not in each for each in shown)
        assert all("A" * 1001 not in re.sub('title="A+"', "", each) for each in shown)


async def test_a_redeem_that_takes_long_goes_on_without_the_view(page: Site) -> None:
    async def never(channel: str | None) -> r.SaleChannels:
        await trio.sleep_forever()

    page.running.node.sale_redeem = never  # type: ignore[method-assign]
    assert (await page.post("/sale/redeem")).status == 303
    assert "It is being redeemed" in (await page.ask("/sale")).text


def test_a_title_in_an_option_is_cut_and_cleaned() -> None:
    assert said.plain("a\u202eb") == "a\ufffdb"
    assert said.plain("A" * 200, 60) == "A" * 59 + "…"
