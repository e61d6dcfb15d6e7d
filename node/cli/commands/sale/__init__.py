"""Commands about private predictions: sold by the row, and bought; what a person sees of them.

It imports console/ and control/, as all commands do.
"""
