"""Jobs as their people see them: posted, cancelled, watched, their books and audits.

Reads what the store holds, and answers node/api.py. It starts machines by the engine alone, and
performs no effect itself.
"""
