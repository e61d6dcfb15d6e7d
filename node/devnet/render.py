"""Blocks, transactions, receipts and logs as JSON, the way of Ethereum's execution-apis."""

from __future__ import annotations

from typing import Any

from node.devnet.pool import Waiting
from node.devnet.records import Event, MinedBlock, MinedTransaction


def data_hex(value: bytes) -> str:
    return "0x" + bytes(value).hex()


def block_json(chain_id: int, block: MinedBlock, full: bool) -> dict[str, Any]:
    header = block.header
    return {
        "number": hex(block.number),
        "hash": data_hex(block.hash),
        "parentHash": data_hex(header.parent_hash),
        "nonce": data_hex(header.nonce),
        "sha3Uncles": data_hex(header.uncles_hash),
        "logsBloom": data_hex(int(header.bloom).to_bytes(256, "big")),
        "transactionsRoot": data_hex(header.transaction_root),
        "stateRoot": data_hex(header.state_root),
        "receiptsRoot": data_hex(header.receipt_root),
        "miner": data_hex(header.coinbase),
        "difficulty": "0x0",
        "extraData": data_hex(header.extra_data),
        "mixHash": data_hex(header.mix_hash),
        "size": "0x0",
        "gasLimit": hex(header.gas_limit),
        "gasUsed": hex(header.gas_used),
        "timestamp": hex(header.timestamp),
        "baseFeePerGas": hex(block.base_fee),
        "uncles": [],
        "transactions": [
            mined_json(chain_id, t) if full else data_hex(t.hash) for t in block.transactions
        ],
    }


def _tx_json(chain_id: int, tx: Any, tx_hash: bytes, sender: bytes) -> dict[str, Any]:
    kind = int(getattr(tx, "type_id", None) or 0)
    parity = tx.y_parity if kind else tx.v
    body = {
        "type": hex(kind),
        "hash": data_hex(tx_hash),
        "from": data_hex(sender),
        "to": data_hex(tx.to) if tx.to else None,
        "nonce": hex(tx.nonce),
        "gas": hex(tx.gas),
        "value": hex(tx.value),
        "input": data_hex(tx.data),
        "chainId": hex(chain_id),
        "v": hex(parity),
        "r": hex(tx.r),
        "s": hex(tx.s),
        "gasPrice": hex(tx.max_fee_per_gas),
    }
    if kind >= 2:
        body["maxFeePerGas"] = hex(tx.max_fee_per_gas)
        body["maxPriorityFeePerGas"] = hex(tx.max_priority_fee_per_gas)
    return body


def waiting_json(chain_id: int, item: Waiting) -> dict[str, Any]:
    body = _tx_json(chain_id, item.tx, item.hash, item.sender)
    return body | {"blockHash": None, "blockNumber": None, "transactionIndex": None}


def mined_json(chain_id: int, mined: MinedTransaction) -> dict[str, Any]:
    return _tx_json(chain_id, mined.tx, mined.hash, mined.sender) | {
        "blockHash": data_hex(mined.block.hash),
        "blockNumber": hex(mined.block.number),
        "transactionIndex": hex(mined.index),
        "gasPrice": hex(mined.gas_price),
    }


def event_json(event: Event) -> dict[str, Any]:
    mined = event.transaction
    return {
        "address": data_hex(event.address),
        "topics": [data_hex(topic) for topic in event.topics],
        "data": data_hex(event.data),
        "blockNumber": hex(mined.block.number),
        "blockHash": data_hex(mined.block.hash),
        "transactionHash": data_hex(mined.hash),
        "transactionIndex": hex(mined.index),
        "logIndex": hex(event.index),
        "removed": False,
    }


def receipt_json(mined: MinedTransaction) -> dict[str, Any]:
    return {
        "type": hex(int(getattr(mined.tx, "type_id", None) or 0)),
        "transactionHash": data_hex(mined.hash),
        "transactionIndex": hex(mined.index),
        "blockHash": data_hex(mined.block.hash),
        "blockNumber": hex(mined.block.number),
        "from": data_hex(mined.sender),
        "to": data_hex(mined.tx.to) if mined.tx.to else None,
        "contractAddress": None if mined.created is None else data_hex(mined.created),
        "cumulativeGasUsed": hex(mined.cumulative_gas),
        "gasUsed": hex(mined.gas_used),
        "effectiveGasPrice": hex(mined.gas_price),
        "status": "0x1" if mined.ok else "0x0",
        "logs": [event_json(event) for event in mined.events],
        "logsBloom": "0x" + "00" * 256,
    }
