"""Predictions sold among real daemons: who sells, what both sides hold, what was bought."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import trio

from kits.daemons.jobs import add_data, ends, post
from kits.daemons.processes import ETHER, Daemon, Swarm
from protocol.addresses import to_checksum

#: Of one row, in wei.
PRICE = 10**14


def put_on_sale(swarm: Swarm, rounds: int, **terms: Any) -> tuple[str, str]:
    """Start a swarm whose requester sells the small job's model, and fund owner 0, who is to buy:
    the job's id and the offer's."""
    swarm.sells = True
    trio.run(swarm.start)
    add_data(swarm)
    job = post(swarm, rounds=rounds)
    trio.run(ends, swarm, job, 100)
    buyer = to_checksum(swarm.accounts["owner0"])
    swarm.requester.call("send", id="fund", to=buyer, amount=str(ETHER))
    sold = swarm.requester.call("sale.offer", job=job, price=str(PRICE), **terms)
    return job, str(sold["offer"]["offer"])


def channels(daemon: Daemon) -> list[dict[str, Any]]:
    """The channels that a daemon knows, as it shows them."""
    found: list[dict[str, Any]] = daemon.call("sale.channels")["channels"]
    return found


def granted(daemon: Daemon) -> dict[str, int]:
    """What a daemon holds granted over each channel. One that was opened and not asked over yet is
    its buyer's alone, and left out."""
    sums = {each["channel"]: int(each["granted"]) for each in channels(daemon)}
    return {channel: amount for channel, amount in sums.items() if amount}


def predictions(path: Path) -> list[str]:
    """The predictions of a CSV that `assay predict` wrote, row by row."""
    with path.open(newline="") as file:
        return [row["prediction"] for row in csv.DictReader(file)]
