"""Commands about money: tokens by name, sending, what was earned.

They import options, views and console/; the rest late, as all commands do (docs/adr/0401).
"""
