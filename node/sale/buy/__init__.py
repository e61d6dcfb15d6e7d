"""The buyer's side: files prepared, rows asked, channels paid and closed.

It imports market, ports, sealing and talk of node/sale/, and what node/sale/ imports.
"""
