"""What tests share: people and books, machines brought to a moment, networks, daemons, attacks.

Test modules import from here and from the product, and never from one another.
"""
