"""Steps of the schema that came first, as texts.

node/store/migrations.py has their order, and the later ones. What is here was released and is never
edited. It imports nothing.
"""
