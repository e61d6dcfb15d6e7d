"""A node's eye on the chain: blocks as it sees them, and what has become of its transactions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulator.chain import Block, Log

from protocol.machines import inputs

if TYPE_CHECKING:
    from simulator.participant import Node


@dataclass
class Intent:
    """A transaction that a machine wants; `told` once its outcome was final and was told."""

    job: bytes
    function: str
    account: bytes
    told: bool = False


class Watch:
    """Durable, like all that a node knows of the chain."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._chain = node.world.chain
        self._seen: list[Block] = []
        self.intents: dict[str, Intent] = {}
        self._chain.watchers.append(self.chain_grew)

    def chain_grew(self) -> None:
        """Look soon: how soon, the world decides."""
        if self._node.up:
            self._node.later(self._node.world.chain_delay(), self._look)

    def catch_up(self, job: bytes) -> None:
        """Tell a new machine its job's history."""
        for block in self._seen:
            for log in block.logs:
                if log.job == job:
                    self._feed(block, log)

    def _look(self) -> None:
        """Take back what a reorganisation voided, then take in what is new."""
        node, blocks, keep = self._node, self._chain.blocks, len(self._seen)
        while keep and (keep > len(blocks) or self._seen[keep - 1] is not blocks[keep - 1]):
            keep -= 1
        if keep < len(self._seen):
            self._seen = self._seen[:keep]
            node.world.note(node.name, f"sees a reorganisation above {keep - 1}")
            for job in list(node.jobs):
                node.feed(job, inputs.ChainReorg(node.now, max(0, keep - 1)))
        for block in list(blocks[keep:]):
            self._seen.append(block)
            for log in block.logs:
                if log.job in node.jobs:
                    self._feed(block, log)
            for job in list(node.jobs):
                node.feed(job, inputs.ChainHead(node.now, block.number, block.timestamp))
        self._settle()

    def _feed(self, block: Block, log: Log) -> None:
        event = getattr(inputs, f"Chain{log.name}")
        self._node.feed(log.job, event(self._node.now, block.number, **log.facts))

    def _settle(self) -> None:
        """Tell the machines what has become of their transactions, once that is final."""
        node, head = self._node, self._seen[-1].number if self._seen else 0
        for mark, intent in self.intents.items():
            tx = self._chain.txs[mark]
            if intent.told or not tx.block or head < tx.block + node.world.settings.finality:
                continue
            intent.told = True
            call = inputs.Call(intent.function)
            told: inputs.Input = inputs.TransactionFinal(node.now, call, intent.account)
            if tx.failed:
                told = inputs.TransactionFailed(node.now, call, intent.account, tx.failed)
            node.feed(intent.job, told)
