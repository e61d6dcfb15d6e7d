"""What the page shows and does, without a script: its process before the fake node."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import AsyncIterator
from functools import partial
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import TypeVar

import pytest
import trio
from kits.web.served import Site, site

from node.control import examples as ex
from node.control import job_results as j
from node.control.money import examples as mx
from node.web import history
from node.web.live import MAX_STREAMS

T = TypeVar("T")

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><b onmouseover="alert(1)">',
    "{{ 1234567 * 2 }}{% raw %}",
    "\u202eevil\u202c\u2066\u200b\x1b[2J\x00",
    "&lt;b&gt;",
    "A" * 10_000,
)
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path) as page:
        yield page


def show(page: Site, **changes: object) -> None:
    """The example's job with other facts."""
    summary = dataclasses.replace(ex.SUMMARY, **changes)  # type: ignore[arg-type]
    page.running.node.jobs_known[ex.JOB] = dataclasses.replace(ex.DETAIL, summary=summary)


async def test_a_home_with_nothing_says_how_to_begin_and_any_other_does_not(page: Site) -> None:
    page.running.node.jobs_known, page.running.node.datasets = {}, {}
    page.running.node.state = dataclasses.replace(ex.STATUS, peers=0)
    text = (await page.ask("/")).text
    for way in ("/network#line", "/data/add", "/post"):
        assert f'<a href="{way}">' in text
    page.running.node.datasets = {"ward-3": ex.DATASET}
    assert "How to begin" not in (await page.ask("/")).text


async def test_home_shows_what_waits_with_every_rule_beside_it(page: Site) -> None:
    show(page, state="waiting", dataset="")
    text = (await page.ask("/")).text
    assert "What waits for you" in text
    assert "Sepsis within 24 h" in text
    assert "the price floor is 0.01 ether" in text
    assert f'action="/job/{ex.JOB}/consent"' in text
    assert "Train with ward-3" in text
    assert "Decline for good" in text


@pytest.mark.parametrize("verdict", ["refused", "impossible"])
async def test_what_a_policy_rules_out_has_no_button(page: Site, verdict: str) -> None:
    show(page, state="waiting", dataset="")
    page.running.node.explained = dataclasses.replace(ex.EXPLAINED, verdict=verdict)  # type: ignore[arg-type]
    assert "Train with" not in (await page.ask("/")).text


async def test_rules_are_asked_for_again_only_when_they_may_have_changed(page: Site) -> None:
    show(page, state="waiting", dataset="")
    asked = 0
    explain = page.running.node.policy_explain

    async def counted(job: str, dataset: str | None) -> object:
        nonlocal asked
        asked += 1
        return await explain(job, dataset)

    page.running.node.policy_explain = counted  # type: ignore[method-assign,assignment]
    for path in ("/", "/", f"/job/{ex.JOB}", "/"):
        assert "price floor" in (await page.ask(path)).text
    assert asked == 1
    await page.post("/policy/ward-3", term="accept", value="auto")
    await page.ask("/")
    assert asked == 2


async def test_a_view_does_not_wait_for_rules_that_take_long(page: Site) -> None:
    show(page, state="waiting", dataset="")

    async def never(job: str, dataset: str | None) -> object:
        await trio.sleep_forever()

    page.running.node.policy_explain = never  # type: ignore[method-assign,assignment]
    text = (await page.ask("/")).text
    assert "The rules against it are being looked at" in text
    assert "Decline for good" in text


async def test_a_click_takes_a_job_and_says_so_once(page: Site) -> None:
    show(page, state="waiting", dataset="")
    answer = await page.post(f"/job/{ex.JOB}/consent", dataset="ward-3")
    assert (answer.status, answer.headers["location"]) == (303, f"/job/{ex.JOB}")
    # A view that the page's script fetches meanwhile does not take what the reader is to see.
    behind = await page.ask(f"/job/{ex.JOB}", Sec_Fetch_Dest="empty", Sec_Fetch_Site="same-origin")
    assert "trains this job" not in behind.text
    assert "ward-3 trains this job; it is enrolling" in (await page.ask(f"/job/{ex.JOB}")).text
    assert "trains this job" not in (await page.ask(f"/job/{ex.JOB}")).text


async def test_a_click_keeps_out_of_a_job(page: Site) -> None:
    show(page, state="waiting")
    assert (await page.post(f"/job/{ex.JOB}/decline")).status == 303
    assert "for good" in (await page.ask("/")).text


async def test_a_click_pauses_and_resumes_and_leaves(page: Site) -> None:
    assert (await page.post("/pause")).status == 303
    paused = (await page.ask("/")).text
    assert "Nothing begins here now" in paused
    assert "this node is paused" in paused
    assert (await page.post("/resume")).status == 303
    assert "Nothing begins here now" not in (await page.ask("/")).text
    show(page, state="running")
    assert "Leave this job" in (await page.ask(f"/job/{ex.JOB}")).text
    assert (await page.post(f"/job/{ex.JOB}/leave")).status == 303
    assert "You have left this job" in (await page.ask(f"/job/{ex.JOB}")).text


async def test_what_the_daemon_refuses_is_said_with_the_next_command(page: Site) -> None:
    answer = await page.post(f"/job/{ex.JOB}/consent", dataset="ward-3")
    assert answer.status == 409
    assert "the job is running, not waiting" in answer.text
    answer = await page.post("/policy/ward-9", term="accept", value="ask")
    assert "no dataset &#39;ward-9&#39;" in answer.text
    assert "assay data list" in answer.text


async def test_a_term_is_set_as_the_command_would(page: Site) -> None:
    assert (await page.post("/policy/ward-3", term="accept", value="ask")).status == 303
    assert (await page.post("/policy/ward-3", term="min_rate", value="5")).status == 303
    terms = page.running.node.policy
    assert (terms["accept"].value, terms["min_rate"].value) == ("ask", 5)
    assert "<option selected>ask</option>" in (await page.ask("/data")).text


async def test_an_owner_reads_what_its_own_data_earned_beside_the_job(page: Site) -> None:
    show(page, role="owner")
    assert "earned by your data" in (await page.ask(f"/job/{ex.JOB}")).text
    show(page, role="requester")
    assert "earned by your data" not in (await page.ask(f"/job/{ex.JOB}")).text


async def test_a_job_shows_its_curve_rounds_money_and_members(page: Site) -> None:
    text = (await page.ask(f"/job/{ex.JOB}")).text
    assert "accuracy by round: 81.0% after round 1 of 20" in text
    assert "contribute: 2.1 s" in text
    assert "0.2 ether" in text
    assert ex.TRANSACTION in text
    assert "epsilon too large" in text


async def test_a_model_is_handed_over_as_the_file_that_it_is(page: Site, tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    path.write_bytes(b"PK as it is")
    page.running.node.model_path = str(path)
    assert f'href="/job/{ex.JOB}/model"' in (await page.ask(f"/job/{ex.JOB}")).text
    answer = await page.ask(f"/job/{ex.JOB}/model")
    assert answer.text == "PK as it is"
    assert "model-0x5a5a5a5a-20.npz" in answer.headers["content-disposition"]


async def test_money_sums_what_is_due_and_claims_it(page: Site) -> None:
    text = (await page.ask("/money")).text
    assert "Claim 40000 units of" in text
    page.running.node.receipts = '{"a":1}\n'
    answer = await page.ask("/money/receipts")
    assert answer.text == '{"a":1}\n'
    assert "attachment" in answer.headers["content-disposition"]
    assert (await page.post(f"/job/{ex.JOB}/claim")).status == 303
    assert "Claimed 0.04 ether." in (await page.ask("/money")).text


async def test_budgets_are_bars_with_the_numbers_beside_them(page: Site) -> None:
    text = (await page.ask("/data")).text
    assert "epsilon: 0.5 spent, 3.4 reserved, of 8" in text
    assert "spent 0.5" in text
    assert "left 4.1" in text


class Structure(HTMLParser):
    """Elements of a page in order, with the names of their attributes; texts are left out."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # A text that was cut has the whole in a title.
        self.found.append((tag, tuple(name for name, _ in attrs if name != "title")))


async def _given(value: T) -> T:
    return value


async def told(page: Site, text: str) -> dict[str, str]:
    """Every view, where a peer's text stands in every place that one may fill."""
    found = {}
    for state in ("waiting", "running"):
        show(page, title=text, reason=text, state=state)
        detail = page.running.node.jobs_known[ex.JOB]
        page.running.node.jobs_known[ex.JOB] = dataclasses.replace(
            detail,
            spec=f"title = {text!r}\n# {text}",
            declined=(j.Declined("x", text, 1),),
            members=(dataclasses.replace(ex.DETAIL.members[0], refusal=text),),
        )
        lines = [dataclasses.replace(line, title=text) for line in mx.EARNINGS.lines]
        page.running.node.earned = dataclasses.replace(mx.EARNINGS, lines=tuple(lines))
        peers = (dataclasses.replace(ex.PEER, agent=text, addresses=(text,)),)
        page.running.node.peers = partial(_given, peers)  # type: ignore[method-assign]
        for path in ("/", f"/job/{ex.JOB}", f"/job/{ex.JOB}/history", "/money", "/network"):
            found[f"{path} {state}"] = (await page.ask(path)).text
    return found


async def test_texts_of_peers_are_words_and_nothing_else(page: Site) -> None:
    plain = {path: Structure(text).found for path, text in (await told(page, "x")).items()}
    for text in HOSTILE:
        for path, shown in (await told(page, text)).items():
            assert Structure(shown).found == plain[path], (path, text[:40])
            assert "2469134" not in shown, "a template was made of a peer's text"
            assert _CONTROLS.search(shown) is None, (path, text[:40])
            assert "A" * 1001 not in shown.split("<textarea")[0].split("<pre>")[0]


async def test_a_history_links_and_a_changed_byte_breaks_every_later_link(page: Site) -> None:
    path = f"/job/{ex.JOB}/history"
    text = (await page.ask(path)).text
    assert "All 3 links hold." in text
    assert "✕" not in text
    texts = [unescape(each) for each in re.findall(r"<textarea[^>]*>(.*?)</textarea>", text, re.S)]
    digests = re.findall(r"SHA-256 <code>([0-9a-f]{64})</code>", text)
    assert [json.loads(each)["previous"] for each in texts] == ["0" * 64, *digests[:-1]]
    assert json.loads(texts[1])["trained"] == "0x" + "3d" * 32
    changed = (await page.ask(f"{path}?flip=0")).text
    assert changed.count("✕ broken link") == 1
    assert changed.count("– rests on a broken link") == 1
    for strange in ("-1", "99", "x", "%EF%BC%91", "9" * 50):
        assert "All 3 links hold." in (await page.ask(f"{path}?flip={strange}")).text


async def test_the_books_are_compared_with_the_contract_when_asked(page: Site) -> None:
    text = (await page.ask(f"/job/{ex.JOB}/history?check=1")).text
    assert "The books agree with the contract" in text
    page.running.node.audit_ok = False
    text = (await page.ask(f"/job/{ex.JOB}/history?check=1")).text
    assert "The books do not agree" in text


def test_flipping_changes_one_byte_of_a_copy() -> None:
    texts = ['{"previous":"0","a":1}', '{"previous":"x"}']
    changed = history.flipped(texts, 0)
    assert changed[1] == texts[1]
    assert sum(a != b for a, b in zip(changed[0], texts[0], strict=True)) == 1
    assert texts[0].endswith("1}")


async def test_events_come_as_they_happen_one_line_each(page: Site) -> None:
    stream = await trio.open_tcp_stream("127.0.0.1", page.port)
    asked = f"GET /live?job={ex.JOB} HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\n"
    await stream.send_all(f"{asked}Cookie: {page.cookie}\r\n\r\n".encode())
    said = b""
    with trio.fail_after(30):
        while page.running.bus.statistics()["subscriptions"] == 0:  # noqa: ASYNC110
            await trio.sleep(0.01)
        page.running.bus.publish("other", "another's", job="0x" + "77" * 32)
        page.running.bus.publish("waiting", "a\r\n\r\nevent: gone\u202e\ndata: x", job=ex.JOB)
        while b"waiting" not in said:
            said += await stream.receive_some()
    await stream.aclose()
    assert b"text/event-stream" in said
    assert b"another's" not in said
    # The first says that the daemon answers; the last stands within the data.
    assert said.count(b"event: ") == 3
    (line,) = re.findall(rb"data: (.*)", said)[1:2]
    assert json.loads(line)["text"] == "a����event: gone��data: x"


async def test_streams_are_counted_and_one_that_ends_makes_room(page: Site) -> None:
    asked = f"GET /live HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\nCookie: {page.cookie}\r\n\r\n"

    async def begin() -> tuple[trio.SocketStream, bytes]:
        stream = await trio.open_tcp_stream("127.0.0.1", page.port)
        await stream.send_all(asked.encode())
        return stream, bytes(await stream.receive_some())[:12]

    with trio.fail_after(60):
        streams = [await begin() for _ in range(MAX_STREAMS)]
        assert {said for _, said in streams} == {b"HTTP/1.1 200"}
        late, said = await begin()
        assert said == b"HTTP/1.1 503"
        await late.aclose()
        await streams.pop()[0].aclose()
        while said != b"HTTP/1.1 200":
            late, said = await begin()
            await late.aclose()
    for stream, _ in streams:
        await stream.aclose()


async def test_without_a_daemon_it_says_how_to_start_one_and_comes_back(
    page: Site, tmp_path: Path
) -> None:
    page.running.scope.cancel()
    with trio.fail_after(30):
        while (answer := await page.ask("/")).status == 200:  # noqa: ASYNC110 (a socket goes)
            await trio.sleep(0.01)
    assert answer.status == 503
    assert "No daemon answers" in answer.text
    assert f"assay --home {tmp_path / 'home'} up --background" in unescape(answer.text)
    assert 'data-back="/"' in answer.text


async def test_the_doctor_is_asked_by_a_click(page: Site) -> None:
    assert "Examine this node" in (await page.ask("/network")).text
    text = (await page.post("/network/doctor")).text
    assert re.search(r"[0-9]+ failed, [0-9]+ to look at", text)
    assert "assay init" in text or "config.toml" in text


async def test_a_swarm_is_joined_by_a_line_of_this_chain_alone(page: Site) -> None:
    chain = page.running.node.state.chain
    line = f"{ex.ADDRESS}?chain={chain.chain_id}&contract={chain.contract}"
    assert 'action="/network/join"' in (await page.ask("/network")).text
    other = line.replace(f"chain={chain.chain_id}", f"chain={chain.chain_id + 1}")
    for given, status in (("", 404), ("nonsense", 404), (other, 409), (line, 303)):
        assert (await page.post("/network/join", line=given)).status == status, given
    assert page.running.node.joined == [ex.ADDRESS]
    assert "Joined: 1 peers are connected.<" in (await page.ask("/network")).text
    assert (await page.post("/network/join", line=f"{line}&channels={ex.OWNER}")).status == 303
    assert page.running.node.channels == [None, ex.OWNER]
    assert "To buy and sell, restart the daemon" in (await page.ask("/network")).text
