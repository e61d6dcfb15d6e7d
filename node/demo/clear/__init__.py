"""The same training in the clear, each in a process of its own: `python -m node.demo.clear.…`.

`yardstick` pools the rows, `twin` follows a sealed job. It imports recipes/, protocol/arith and
workers/' way to start; nothing imports it, so that the demo itself never loads numpy.
"""
