"""A job in six steps: a draft that a table or a card begins, its forms, the spec that it makes.

draft.py holds what was typed and writes the spec, fields.py has the forms' fields in words,
steps.py shows and takes them, posting.py shows the costs and posts. A draft lives in the page's
process alone and spends nothing. It imports of web/ the page and its uploads, console/, control/'s
codes, data/'s ways to read a file, and of work/ and workers/ what looks at a table.
"""
