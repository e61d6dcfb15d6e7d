"""The seller's side: models put on sale, buyers answered, vouchers redeemed.

It imports market, ports, sealing and talk of node/sale/, and what node/sale/ imports.
"""
