"""scripts/demo --tamper: the main job, whose history somebody then changes by one byte.

It is played to its end. Then a byte of one round is changed in a copy of the job's linked history,
a byte of an owner's receipts, and a byte of a commitment, which is offered to the chain again.
Exit code 0 if each change shows, where it was made, and the chain keeps its record.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from node.control.codes import Exit
from node.demo import main as demo
from node.demo import story
from node.demo.outcome.report import Figures
from node.demo.outcome.verdict import Finding, judge
from node.demo.screen import Screen
from node.demo.swarm.processes import Children
from node.demo.swarm.user import User
from node.demo.swarm.world import World
from node.web import history
from scripts.demos.playing import arguments, play

#: The round that is changed, from one, and where its root begins in the calldata of `commit`: after
#: the function's four bytes, the job and the round.
_ROUND: Final = 5
_ROOT: Final = 4 + 32 + 32


class _Tamper:
    """Changes a byte here and there, once the job is over and before its daemons end."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.screen: Screen | None = None

    def end(self, world: World, children: Children) -> tuple[str, ...]:
        """In the place of the story's end, which follows."""
        job = world.requester.ask("jobs")[0]["job"]
        if self.screen is not None:
            self.screen.stage("somebody changes one byte")
        self._history(world.requester.ask("job.show", job=job))
        self._receipts(world.owners[0])
        self._chain(world, world.requester.ask("job.show", job=job))
        return _END(world, children)

    def _history(self, shown: Any) -> None:
        texts = history.blocks(shown)
        place = min(_ROUND, len(texts) - 2)
        before = history.checked(texts)
        after = history.checked(history.flipped(texts, place))
        broken = [block.title for block in after if not block.sound]
        self.findings += [
            Finding(
                "the job's blocks name each other",
                all(block.sound for block in before),
                f"{len(before)} blocks, from the spec to the model",
            ),
            Finding(
                f"one byte of {before[place].title} breaks every later link",
                [block.sound for block in after]
                == [number <= place for number in range(len(after))],
                f"{len(broken)} blocks do not hold: {broken[0]} to {broken[-1]}",
            ),
        ]

    def _receipts(self, owner: User) -> None:
        file = owner.home.path / "receipts.jsonl"
        owner.command("receipts", "--out", str(file))
        sound, _, _ = owner.attempt("receipts", "--verify", str(file))
        lines = file.read_text().splitlines(keepends=True)
        middle = len(lines) // 2
        place = max(at for at, letter in enumerate(lines[middle]) if letter.isdigit())
        other = "1" if lines[middle][place] != "1" else "2"
        lines[middle] = lines[middle][:place] + other + lines[middle][place + 1 :]
        file.write_text("".join(lines))
        code, out, errors = owner.attempt("receipts", "--verify", str(file))
        # The line itself, or the next one, which names what it was.
        told = any(f"line {middle + near}" in out + errors for near in (1, 2))
        self.findings.append(
            Finding(
                f"one digit of {owner.name}'s receipts is found, and where",
                (sound, code) == (Exit.OK, Exit.FAULT) and told,
                f"line {middle + 1} of {len(lines)}; exit code {code}",
            )
        )

    def _chain(self, world: World, shown: Any) -> None:
        """What the chain says of a commitment's second coming, as it was and with another root."""
        url = world.requester.ask("status")["chain"]["url"]
        found = shown["rounds"][min(_ROUND, len(shown["rounds"])) - 1]["transaction"]
        sent = _ask(url, "eth_getTransactionByHash", found)["result"]
        data = bytearray.fromhex(sent["input"].removeprefix("0x"))
        # As of the block that took it: now the job is over, and all that is said of it is refused.
        same = _refusal(url, sent, data)
        data[_ROOT] ^= 1
        changed = _refusal(url, sent, data)
        self.findings.append(
            Finding(
                "the chain takes no other word on a round that it holds",
                all("not the next round" in each for each in (same, changed)),
                f"again: {same or 'taken'}; with another root: {changed or 'taken'}",
            )
        )

    def judge(self, figures: Figures) -> list[Finding]:
        """The demo's verdict, and what became of each change."""
        return [*judge(figures), *self.findings]


_END: Final = story.end


def _ask(url: str, method: str, *params: Any) -> Any:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
    request = urllib.request.Request(url, json.dumps(body).encode())  # noqa: S310 - the demo's own
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=30) as reply:  # noqa: S310
        return json.load(reply)


def _refusal(url: str, sent: Any, data: bytearray) -> str:
    """Why the contract refuses a call, once it has taken `sent`; empty where it takes it."""
    call = {"from": sent["from"], "to": sent["to"], "data": "0x" + bytes(data).hex()}
    told = _ask(url, "eth_call", call, sent["blockNumber"])
    return str(told["error"]["message"])[:90] if "error" in told else ""


def main() -> int:
    """Play it; what it came to decides."""
    parser = arguments(__doc__)
    parser.add_argument("--tamper", action="store_true", required=True)
    wanted = parser.parse_args()
    tamper, played = _Tamper(), story.play

    def watched(plan: story.Plan, folder: Path, children: Children, screen: Screen) -> Figures:
        tamper.screen = screen
        return played(plan, folder, children, screen)

    return play(
        wanted,
        patch.object(story, "end", tamper.end),
        patch.object(demo, "play", watched),
        patch.object(demo, "judge", tamper.judge),
    )


if __name__ == "__main__":
    sys.exit(main())
