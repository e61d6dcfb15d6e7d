"""What `assay` offers: the table of its commands, and the first page of help, printed from it.

It imports nothing but the standard library, so that help is there at once; node.cli.app makes the
parser from the same table.
"""
