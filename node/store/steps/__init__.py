"""Steps of the schema, as texts: those that came first, and what is a subject of its own.

node/store/migrations.py has their order, and the others. What is here was released and is never
edited. It imports nothing.
"""
